//! Form, storage and replacement of credentials.

use std::os::unix::fs::PermissionsExt as _;

use super::{AdminToken, Digest, FileError, Kind, make, make_file, read, read_file, replace_file};

#[test]
fn a_credential_is_random_text_and_only_its_digest_is_stored() {
    let one = make(Kind::Token).unwrap();
    let two = make(Kind::Token).unwrap();
    assert_ne!(one.text.expose(), two.text.expose());
    assert_eq!(one.text.expose().len(), "tgz_".len() + 64);
    assert_eq!(read(Kind::Token, one.text.expose()).as_ref(), Some(&one.stored));
    assert!(one.stored.digest.is_stored_as(&one.stored.digest.to_hex()));
    assert!(!one.stored.digest.is_stored_as(&two.stored.digest.to_hex()));
    assert!(!one.stored.digest.is_stored_as(""));
    assert!(one.text.expose().starts_with(&one.stored.prefix) && one.stored.prefix.len() == 12);
    assert!(!format!("{one:?}").contains(&one.text.expose()[12..]));
    assert_ne!(one.stored.digest.mark(), one.stored.digest.to_hex()[..32]);
}

#[test]
fn only_the_exact_form_is_read() {
    let token = make(Kind::Token).unwrap().text.expose().clone();
    for wrong in [
        "",
        "tgz_",
        &token[..token.len() - 1],
        &format!("{token}0"),
        &token.to_uppercase(),
        &token.replace("tgz_", "tgs_"),
        &format!(" {token}"),
        &token.replace("tgz_", "tgz-"),
        &format!("tgz_{}", "é".repeat(32)),
    ] {
        assert_eq!(read(Kind::Token, wrong), None, "{wrong}");
    }
    assert_eq!(read(Kind::Session, &token), None);
    assert_eq!(Digest::of("a"), Digest::of("a"));
    assert_ne!(Digest::of("a"), Digest::of("b"));
}

#[test]
fn the_file_is_private_made_once_and_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert!(read_file(&path).unwrap().is_none());
    let token = make_file(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_file(&path).unwrap().unwrap(), token);
    assert!(matches!(make_file(&path), Err(FileError::Exists(_))));
    assert_eq!(read_file(&path).unwrap().unwrap(), token, "never replaced by making");

    let admin = AdminToken::new(None, &path);
    assert_eq!(admin.digest(), Some(Digest::of(token.expose())));
    let second = replace_file(&path).unwrap();
    assert_eq!(admin.digest(), Some(Digest::of(second.expose())), "seen at once");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    std::fs::remove_file(&path).unwrap();
    assert_eq!(admin.digest(), None, "no file, no admin");
}

#[test]
fn a_file_that_others_can_read_or_that_is_a_link_or_empty_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    make_file(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(read_file(&path), Err(FileError::Open(_))));
    assert_eq!(AdminToken::new(None, &path).digest(), None);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(read_file(&link), Err(FileError::Io { .. })));
    std::fs::write(&path, " \n").unwrap();
    assert!(matches!(read_file(&path), Err(FileError::Empty(_))));
}
