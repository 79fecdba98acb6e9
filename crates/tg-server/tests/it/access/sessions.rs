//! Sessions and login links: what opens one, what it may do, and what ends it.

use serde_json::json;
use tg_server::{
    credential::{self, Kind},
    store,
    testing::api::{ADMIN, Api, Got},
};

use super::{World, changed};
use crate::database::{NOW, TestDatabase, on_both};

const ORIGIN: &str = "http://127.0.0.1:8010";

/// The cookie of a session that this token opens.
pub async fn open(api: &Api, token: &str) -> String {
    cookie(&api.call("POST", "/auth/session").token(token).send().await)
}

fn cookie(got: &Got) -> String {
    assert_eq!(got.status, 200, "{:?}", got.body);
    got.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// Status of a GET with this cookie.
pub async fn get(api: &Api, path: &str, cookie: &str) -> u16 {
    api.call("GET", path).header("cookie", cookie).send().await.status.as_u16()
}

async fn code(world: &World, expires_at: i64) -> String {
    let fresh = credential::make(Kind::LoginCode).unwrap();
    let mut tx = world.test.db.begin().await.unwrap();
    store::session::add_code(&mut tx, &fresh.stored, NOW, expires_at).await.unwrap();
    tx.commit().await.unwrap();
    fresh.text.expose().clone()
}

async fn redeem(world: &World, code: &str) -> Got {
    world.api.call("POST", "/auth/session").json(&json!({ "code": code })).send().await
}

async fn a_code_opens_one_session_once(test: TestDatabase) {
    let world = World::new(test).await;
    let one = code(&world, NOW + 1).await;
    let got = redeem(&world, &one).await;
    let body = got.json();
    assert_eq!((body["principal"].as_str(), body["scope"].as_str()), (Some("admin"), Some("admin")));
    assert_eq!(get(&world.api, "/tokens", &cookie(&got)).await, 200);
    assert_eq!(redeem(&world, &one).await.refusal(), (401, "unauthorized".to_owned()), "used before");
    let late = code(&world, NOW).await;
    assert_eq!(redeem(&world, &late).await.status, 401, "over");
    for wrong in ["", "tgl_0", ADMIN, &format!("tgl_{}", "0".repeat(64)), &one.replace("tgl_", "tgz_")] {
        assert_eq!(redeem(&world, wrong).await.status, 401, "{wrong}");
    }

    let raced = code(&world, NOW + 1).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let call = world.api.call("POST", "/auth/session").json(&json!({ "code": raced }));
            tokio::spawn(async move { call.send().await.status.as_u16() })
        })
        .collect();
    let mut opened = 0;
    for attempt in tries {
        opened += usize::from(attempt.await.unwrap() == 200);
    }
    assert_eq!(opened, 1, "of eight at once, one wins");
}

async fn a_cookie_is_kept_from_scripts_and_foreign_pages(test: TestDatabase) {
    let world = World::new(test).await;
    let got = world.api.call("POST", "/auth/session").as_admin().send().await;
    let text = got.header("set-cookie");
    for part in ["tgz_session=tgs_", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=86400"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("Secure"), "{text}");
    assert_eq!(got.header("cache-control"), "no-store");
    let app = changed(&world.test, |config| {
        config.access.cookie_secure = tg_server::config::CookieSecure::Always;
    });
    let got = Api::new(&app).call("POST", "/auth/session").as_admin().send().await;
    assert!(got.header("set-cookie").ends_with("; Secure"), "{}", got.header("set-cookie"));
    let nobody = world.api.call("POST", "/auth/session").send().await;
    assert_eq!((nobody.status.as_u16(), nobody.header("set-cookie")), (401, ""));
}

async fn a_session_changes_something_only_for_our_own_pages(test: TestDatabase) {
    let world = World::new(test).await;
    let cookie = open(&world.api, ADMIN).await;
    let body = json!({ "name": "by session", "scope": "admin" });
    let post = async |origin: Option<&str>| {
        let call = world.api.call("POST", "/tokens").header("cookie", &cookie).json(&body);
        let call = match origin {
            Some(origin) => call.header("origin", origin),
            None => call,
        };
        call.send().await.refusal()
    };
    let refused = (403, "wrong_origin".to_owned());
    assert_eq!(post(None).await, refused, "no Origin is no proof");
    for origin in ["null", "http://evil.example", "http://localhost:8010", "https://127.0.0.1:8010"] {
        assert_eq!(post(Some(origin)).await, refused, "{origin}");
    }
    assert_eq!(world.events().await.len(), 0, "nothing was done");
    assert_eq!(post(Some(ORIGIN)).await.0, 201);
    assert_eq!(world.events().await[0].1.as_deref(), Some("admin"), "the session acts as its opener");
    assert_eq!(get(&world.api, "/tokens", &cookie).await, 200, "reading needs no Origin");
    let with_token =
        world.api.call("POST", "/tokens").as_admin().header("cookie", &cookie).json(&body).send();
    assert_eq!(with_token.await.refusal().0, 409, "a token needs no Origin");

    let foreign = world.api.call("POST", "/auth/session").as_admin().header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.refusal(), refused, "nobody is signed in by a foreign page");
    let foreign = world.api.call("POST", "/auth/logout").header("cookie", &cookie);
    assert_eq!(foreign.send().await.refusal(), refused, "nor signed out");
    assert_eq!(get(&world.api, "/tokens", &cookie).await, 200);
}

async fn a_session_ends_with_logout_or_with_its_token(test: TestDatabase) {
    let world = World::new(test).await;
    let cookie = open(&world.api, ADMIN).await;
    let other = open(&world.api, ADMIN).await;
    let logout = world.api.call("POST", "/auth/logout").header("cookie", &cookie).header("origin", ORIGIN);
    let got = logout.send().await;
    assert_eq!(got.status, 204);
    assert!(got.header("set-cookie").starts_with("tgz_session=; Max-Age=0"), "{}", got.header("set-cookie"));
    assert_eq!(get(&world.api, "/tokens", &cookie).await, 401, "at the server too");
    assert_eq!(get(&world.api, "/tokens", &other).await, 200, "others go on");
    assert_eq!(world.api.call("POST", "/auth/logout").send().await.status, 204);

    let (id, token) = world.member(world.first, "mine").await;
    let session = open(&world.api, &token).await;
    assert_eq!(get(&world.api, "/projects", &session).await, 200);
    assert_eq!(get(&world.api, "/tokens", &session).await, 403, "it sees what its token sees");
    assert_eq!(get(&world.api, &format!("/projects/{}", world.second), &session).await, 404);
    let rotated = world.api.post(&format!("/tokens/{id}/rotate"), &json!({})).await.json();
    assert_eq!(get(&world.api, "/projects", &session).await, 401, "rotated");
    let session = open(&world.api, rotated["token"].as_str().unwrap()).await;
    assert_eq!(get(&world.api, "/projects", &session).await, 200);
    world.api.call("DELETE", &format!("/tokens/{id}")).as_admin().send().await;
    assert_eq!(get(&world.api, "/projects", &session).await, 401, "revoked");

    let path = format!("/projects/{}/token", world.first);
    let token = world.api.post(&path, &json!({})).await.json()["token"].as_str().unwrap().to_owned();
    let session = open(&world.api, &token).await;
    assert_eq!(get(&world.api, "/projects", &session).await, 200);
    world.api.post(&path, &json!({})).await;
    assert_eq!(get(&world.api, "/projects", &session).await, 401, "the project's token was replaced");

    let day = 24 * 60 * 60 * 1000;
    crate::database::raw(&world.test.db, &format!("UPDATE sessions SET expires_at = expires_at - {day}"))
        .await;
    assert_eq!(get(&world.api, "/tokens", &other).await, 401, "a day is over");
}

async fn the_admins_sessions_end_with_the_admins_token(test: TestDatabase) {
    let world = World::new(test).await;
    let cookie = open(&world.api, ADMIN).await;
    assert_eq!(get(&world.api, "/tokens", &cookie).await, 200);
    crate::database::raw(&world.test.db, "UPDATE sessions SET admin_mark = 'of another token'").await;
    assert_eq!(get(&world.api, "/tokens", &cookie).await, 401);
    for wrong in ["tgz_session=", "tgz_session=tgs_0", "other=1", &cookie.replace("tgs_", "tgz_")] {
        assert_eq!(get(&world.api, "/tokens", wrong).await, 401, "{wrong}");
    }
}

mod both {
    use super::on_both;
    on_both!(
        a_code_opens_one_session_once,
        a_cookie_is_kept_from_scripts_and_foreign_pages,
        a_session_changes_something_only_for_our_own_pages,
        a_session_ends_with_logout_or_with_its_token,
        the_admins_sessions_end_with_the_admins_token,
    );
}
