//! Sealing: round trip, place, rotation, key texts, the key file.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path};

use super::*;
use crate::config::{Config, Inputs};

const OLD: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

const PLACE: Place<'_> = Place { project: 7, field: "github_token" };

fn seal(home: &Path, keys: Option<&str>) -> Seal {
    let mut environment = BTreeMap::from([("TASKSGODZILLA_HOME".to_owned(), home.display().to_string())]);
    environment.extend(keys.map(|keys| (VARIABLE.to_owned(), keys.to_owned())));
    let inputs = Inputs { environment, directory: home.to_owned(), ..Inputs::default() };
    Seal::new(&Config::resolve(&inputs).expect("resolves"))
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[test]
fn a_text_opens_only_in_its_place_and_unaltered() {
    let folder = tempfile::tempdir().unwrap();
    let seal = seal(folder.path(), Some(OLD));
    let sealed = seal.seal(PLACE, &secret("canary-1")).unwrap();
    assert_eq!(seal.open(PLACE, &sealed).unwrap(), secret("canary-1"));
    assert_ne!(sealed, seal.seal(PLACE, &secret("canary-1")).unwrap(), "never the same twice");
    for elsewhere in [
        Place { project: 8, ..PLACE },
        Place { field: "gitlab_token", ..PLACE },
        Place { project: 70, field: "ithub_token" },
    ] {
        assert_eq!(seal.open(elsewhere, &sealed), Err(SealError::Refused), "{elsewhere:?}");
    }
    for at in [0, 40, sealed.text.len() - 1] {
        let mut text = sealed.text.clone().into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        let altered = Sealed { text: String::from_utf8(text).unwrap(), ..sealed.clone() };
        assert_eq!(seal.open(PLACE, &altered), Err(SealError::Refused), "digit {at}");
    }
    for text in ["", "ab", "zz", &sealed.text[..60]] {
        let cut = Sealed { text: text.to_owned(), ..sealed.clone() };
        assert_eq!(seal.open(PLACE, &cut), Err(SealError::Refused), "{text:?}");
    }
    assert!(!sealed.text.contains("canary") && !format!("{seal:?} {:?}", seal.ring()).contains(OLD));
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = seal(folder.path(), Some(OLD)).seal(PLACE, &secret("canary-2")).unwrap();
    let both = seal(folder.path(), Some(&format!("{NEW}, {OLD}")));
    assert_eq!(both.open(PLACE, &sealed).unwrap(), secret("canary-2"));
    let newer = both.seal(PLACE, &secret("canary-2")).unwrap();
    assert_ne!(newer.key_id, sealed.key_id);
    let only_new = seal(folder.path(), Some(NEW));
    assert_eq!(only_new.open(PLACE, &newer).unwrap(), secret("canary-2"));
    assert_eq!(only_new.open(PLACE, &sealed), Err(SealError::UnknownKey(sealed.key_id.clone())));
    // A row that names another key than the one that sealed it.
    let renamed = Sealed { key_id: newer.key_id.clone(), ..sealed };
    assert_eq!(both.open(PLACE, &renamed), Err(SealError::Refused));
    assert!(!folder.path().join("secret.key").exists(), "with a key given no file is made");
}

#[test]
fn a_key_is_32_bytes_in_hex_or_base64() {
    for good in [OLD, NEW, NEW.trim_end_matches('='), &format!("{NEW},{OLD}"), &format!(" {OLD} , {NEW} ")] {
        assert_eq!(check_keys(good), Ok(()), "{good}");
    }
    let short = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC";
    let loose = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgJ=";
    for bad in ["", " , ", "changeme", &OLD[..62], short, loose, &format!("{NEW},x"), &"g".repeat(64)] {
        assert_eq!(check_keys(bad), Err(SealError::BadKey), "{bad:?}");
    }
}

#[test]
fn the_key_file_is_made_once_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let at_once: Vec<_> = (0..8)
        .map(|_| {
            let home = folder.path().to_owned();
            std::thread::spawn(move || seal(&home, None).seal(PLACE, &secret("canary-3")).unwrap())
        })
        .collect();
    let sealed: Vec<Sealed> = at_once.into_iter().map(|one| one.join().unwrap()).collect();
    assert!(sealed.iter().all(|one| one.key_id == sealed[0].key_id), "one key for all: {sealed:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    // A key that comes by the setting later seals from then on; the file's still opens.
    let moved = seal(folder.path(), Some(NEW));
    assert_eq!(moved.open(PLACE, &sealed[7]).unwrap(), secret("canary-3"));
    assert_ne!(moved.seal(PLACE, &secret("x")).unwrap().key_id, sealed[0].key_id);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = seal(folder.path(), None).open(PLACE, &sealed[0]).unwrap_err().to_string();
    assert!(told.contains("chmod 600"), "{told}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(seal(folder.path(), None).seal(PLACE, &secret("x")), Err(SealError::BadKey));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "nonsense", "never overwritten");
}
