//! Content of artifacts: what may be read, and what may not whatever stands in its place.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tg_server::testing::{api::Api, app::TestApp};

use crate::{
    database::raw,
    journey::{short, worked},
};

/// A worked run with a file of a call: its address, and where it lies.
struct Found {
    app: TestApp,
    api: Api,
    address: String,
    artifact: Value,
    file: PathBuf,
    run: tg_core::ids::RunId,
}

async fn found() -> Found {
    let app = short(&[]).make().await;
    let api = Api::new(&app.app);
    let run = worked(&app, None).await;
    let list = api.get(&format!("/protocols/{run}/artifacts?kind=protocol_output")).await.json();
    let artifact = list[0].clone();
    let row = app.run(run).await;
    let path = artifact["path"].as_str().unwrap();
    assert!(!path.starts_with('/'), "no path of this machine: {path}");
    let file = Path::new(&row.worktree_path.unwrap()).join(path);
    let address =
        format!("/runs/{}/artifacts/{}/content", artifact["run_id"].as_str().unwrap(), artifact["id"]);
    Found { app, api, address, artifact, file, run }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_shown_as_text_or_sent_as_it_is() {
    let Found { app, api, address, artifact, file, run } = found().await;
    let content = std::fs::read(&file).unwrap();
    let got = api.get(&address).await;
    assert_eq!((got.status.as_u16(), got.body.as_ref()), (200, content.as_slice()));
    assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(got.header("x-artifact-changed"), "");
    assert!(got.header("content-security-policy").contains("default-src 'none'"));

    std::fs::write(&file, b"<script>\xff\x1b[2J").unwrap();
    let got = api.get(&address).await;
    assert_eq!(got.body.as_ref(), "<script>\u{fffd}\x1b[2J".as_bytes());
    assert_eq!(got.header("x-artifact-changed"), "true", "it is not what was recorded");
    let got = api.get(&format!("{address}?download=true")).await;
    assert_eq!(got.body.as_ref(), b"<script>\xff\x1b[2J");
    assert_eq!(got.header("content-type"), "application/octet-stream");
    assert_eq!(got.header("content-disposition"), "attachment; filename=\"protocol\"");
    assert_eq!(got.header("x-content-type-options"), "nosniff");

    std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    assert_eq!(api.get(&address).await.status, 200, "exactly as long as is shown");
    std::fs::write(&file, vec![b'x'; 1_000_001]).unwrap();
    assert_eq!(api.get(&address).await.refusal(), (413, "artifact_too_large".to_owned()));
    assert_eq!(api.get(&format!("{address}?download=true")).await.body.len(), 1_000_001);
    let part = api.call("GET", &format!("{address}?download=true")).as_admin().header("range", "bytes=-5");
    assert_eq!(part.send().await.body.as_ref(), b"xxxxx");

    let of_step =
        api.get(&format!("/protocols/{run}/artifacts?step_run_id={}", step_of(&app, run).await)).await;
    assert!(of_step.json().as_array().unwrap().iter().all(|file| file["id"].is_i64()));
    let own = api.get(&format!("/runs/{}/artifacts", artifact["run_id"].as_str().unwrap())).await.json();
    assert!(own.as_array().unwrap().contains(&artifact));
    let none = api.get(&format!("/protocols/{run}/artifacts?kind=nothing")).await.json();
    assert_eq!(none, json!([]));
    let other_call = app.calls(run).await.remove(0).id;
    let foreign = address.replace(artifact["run_id"].as_str().unwrap(), &other_call.0);
    assert_eq!(api.get(&foreign).await.refusal(), (404, "not_found".to_owned()), "a file of another call");
}

async fn step_of(app: &TestApp, run: tg_core::ids::RunId) -> i64 {
    app.step(run, "01-work.md").await.id.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_the_worktree_is_read() {
    let Found { app, api, address, artifact, file, .. } = found().await;
    let secret = app.folder().join("secret.txt");
    std::fs::write(&secret, "CANARY").unwrap();
    let refused = || async {
        for query in ["", "?download=true"] {
            let got = api.get(&format!("{address}{query}")).await;
            assert_eq!(got.refusal(), (404, "artifact_unavailable".to_owned()));
            assert!(!String::from_utf8_lossy(&got.body).contains(&*app.folder().to_string_lossy()));
        }
    };
    std::fs::remove_file(&file).unwrap();
    refused().await;
    symlink(&secret, &file).unwrap();
    refused().await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    refused().await;
    std::fs::remove_dir(&file).unwrap();
    // A folder on the way that leads out.
    let folder = file.parent().unwrap();
    let kept = folder.with_extension("kept");
    std::fs::rename(folder, &kept).unwrap();
    std::fs::write(app.folder().join(file.file_name().unwrap()), "CANARY").unwrap();
    symlink(app.folder(), folder).unwrap();
    refused().await;
    for path in
        ["../../../../secret.txt", "/etc/passwd", "", ".", "a/../../../../secret.txt", "/proc/self/environ"]
    {
        raw(&app.app.db, &format!("UPDATE run_artifacts SET path = '{path}' WHERE id = {}", artifact["id"]))
            .await;
        refused().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_in_is_never_followed() {
    let Found { app, api, address, file, .. } = found().await;
    let secret = app.folder().join("secret.txt");
    std::fs::write(&secret, "CANARY").unwrap();
    let (real, link) = (file.with_extension("real"), file.with_extension("link"));
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (stop, file) = (stop.clone(), file.clone());
        std::thread::spawn(move || {
            let mut swaps = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                std::fs::write(&real, "fine").unwrap();
                std::fs::rename(&real, &file).unwrap();
                symlink(&secret, &link).unwrap();
                std::fs::rename(&link, &file).unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let (mut shown, mut refused) = (0, 0);
    for _ in 0..3000 {
        let got = api.get(&address).await;
        if got.status == 200 {
            assert_eq!(got.body.as_ref(), b"fine");
            shown += 1;
        } else {
            assert_eq!(got.refusal().0, 404);
            refused += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapping.join().unwrap();
    assert!(shown > 0 && refused > 0 && swaps > 1000, "{shown} shown, {refused} refused, {swaps} swaps");
}
