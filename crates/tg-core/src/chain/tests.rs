//! Whole chains hold; every kind of tampering is named.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Row {
    project_seq: i64,
    event_type: String,
    message: String,
    metadata: Value,
    actor: Option<String>,
    step_run_id: Option<i64>,
    created_at: i64,
    hash: String,
}

impl Row {
    fn link(&self) -> Link<'_> {
        Link {
            project_seq: self.project_seq,
            project_id: Some(7),
            protocol_run_id: Some(1),
            step_run_id: self.step_run_id,
            event_type: &self.event_type,
            message: &self.message,
            metadata: &self.metadata,
            actor: self.actor.as_deref(),
            created_at: self.created_at,
        }
    }
}

fn chain(texts: &[String]) -> (Vec<Row>, Head) {
    let mut head = Head { project_seq: 0, hash: GENESIS.to_owned() };
    let rows = texts
        .iter()
        .zip(1..)
        .map(|(text, project_seq)| {
            let mut row = Row {
                project_seq,
                event_type: "planned".to_owned(),
                message: text.clone(),
                metadata: json!({ "n": project_seq, "text": text }),
                actor: None,
                step_run_id: Some(project_seq),
                created_at: 1_700_000_000_000 + project_seq,
                hash: String::new(),
            };
            row.hash = link(&head.hash, &row.link());
            head = Head { project_seq, hash: row.hash.clone() };
            row
        })
        .collect();
    (rows, head)
}

fn check(rows: &[Row], head: Option<&Head>) -> Result<u64, BadLink> {
    verify(rows.iter().map(|row| (row.link(), row.hash.as_str())), head)
}

#[test]
fn golden_link() {
    let (rows, _) = chain(&["é".to_owned(), "b".to_owned()]);
    assert_eq!(rows[0].hash, "8ee4e0f872a40113ea88e2cefc0b1796344c34cb999d4afcab89f57ffe5fbda8");
    assert_eq!(rows[1].hash, "ab1e87606e324f8e8e9cfa0b97e86d2a30893023fa2e92ed039a0ced18d4ae77");
}

#[test]
fn a_whole_chain_holds_and_an_empty_one_too() {
    let (rows, head) = chain(&["a".to_owned(), "b".to_owned()]);
    assert_eq!(check(&rows, Some(&head)), Ok(2));
    assert_eq!(check(&rows, None), Ok(2));
    assert_eq!(check(&[], Some(&Head { project_seq: 0, hash: GENESIS.to_owned() })), Ok(0));
}

#[test]
fn the_first_bad_link_is_named() {
    let texts: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    let (rows, head) = chain(&texts);
    let bad = |rows: &[Row], project_seq, why| {
        assert_eq!(check(rows, Some(&head)), Err(BadLink { project_seq, why }));
    };
    let mut altered = rows.clone();
    altered[2].message = "other".to_owned();
    bad(&altered, 3, Broken::Altered);
    let mut missing = rows.clone();
    missing.remove(1);
    bad(&missing, 2, Broken::Missing);
    let mut twice = rows.clone();
    twice.insert(3, rows[1].clone());
    bad(&twice, 2, Broken::Reordered);
    bad(&rows[..3], 4, Broken::Truncated);
    let (longer, _) = chain(&(0..6).map(|n| n.to_string()).collect::<Vec<_>>());
    bad(&longer, 6, Broken::NotTheHead);
    let (other, _) = chain(&vec!["x".to_owned(); 5]);
    bad(&other, 5, Broken::NotTheHead);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_tampering_is_found(
        texts in prop::collection::vec("[a-c]{0,2}", 2..12),
        kind in 0..10_u8,
        place in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let (rows, head) = chain(&texts);
        let mut bad = rows.clone();
        let at = place.index(rows.len());
        match kind {
            0 => bad[at].message.push('x'),
            1 => bad[at].metadata = json!({ "n": 0 }),
            2 => bad[at].created_at += 1,
            3 => bad[at].actor = Some("me".to_owned()),
            4 => bad[at].event_type = "paused".to_owned(),
            5 => bad[at].step_run_id = None,
            6 => { bad.remove(at); }
            7 => bad.swap(at, other.index(rows.len())),
            8 => bad.truncate(at),
            _ => bad[at].hash = GENESIS.to_owned(),
        }
        prop_assume!(bad != rows);
        prop_assert!(check(&bad, Some(&head)).is_err());
    }
}
