//! QA reports, kept outside the agent's reach and written into the worktree from there. They are
//! committed with the next step's work; the last one, and one that did not pass, at once.

use std::{
    io,
    path::{Path, PathBuf},
};

use tg_core::{ids::StepId, layout, protocol::StepRun};

use super::{
    JobError,
    files::{unreadable, unwritable},
    place::Place,
    subject::Subject,
};
use crate::{app::App, paths::Root};

/// Most bytes of a report.
const CAP: u64 = 4 * 1024 * 1024;

/// Where the reports of a run lie below its worktree, written or not.
pub fn paths(subject: &Subject) -> Vec<PathBuf> {
    let folder = layout::protocol_root(&subject.run.protocol_name);
    let own = subject.steps.iter().map(|step| folder.join(of_step(step)));
    own.chain([folder.join(layout::QUALITY_REPORT)]).collect()
}

fn of_step(step: &StepRun) -> PathBuf {
    layout::step_report(layout::step_stem(&step.step_name))
}

fn copy_of(step: StepId) -> PathBuf {
    PathBuf::from(format!("{step}.report"))
}

fn copy_of_newest(subject: &Subject) -> PathBuf {
    PathBuf::from(format!("run-{}.report", subject.run.id))
}

/// Keeps a report and writes it into the worktree. Returns its path below the worktree.
pub fn keep(
    app: &App,
    place: &Place,
    subject: &Subject,
    step: &StepRun,
    text: &str,
) -> Result<PathBuf, JobError> {
    let folder = app.config.home.judges();
    std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let copies = Root::open(&folder).map_err(|error| unreadable(&folder, &error))?;
    for name in [copy_of(step.id), copy_of_newest(subject)] {
        copies.write(&name, text.as_bytes()).map_err(|error| unwritable(&folder.join(name), &error))?;
    }
    let root = place.files.root()?;
    let own = place.files.folder.join(of_step(step));
    for path in [&own, &place.files.folder.join(layout::QUALITY_REPORT)] {
        root.write(path, text.as_bytes()).map_err(|error| unwritable(path, &error))?;
    }
    Ok(own)
}

/// Makes the reports in the worktree what our judges wrote: a changed one is written again, one that no
/// judge of ours wrote is removed.
pub fn restore(app: &App, place: &Place, subject: &Subject) -> Result<(), JobError> {
    let folder = app.config.home.judges();
    let copies = match Root::open(&folder) {
        Ok(copies) => Some(copies),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&folder, &error)),
    };
    let root = place.files.root()?;
    let own = subject.steps.iter().map(|step| (copy_of(step.id), of_step(step)));
    for (copy, report) in own.chain([(copy_of_newest(subject), PathBuf::from(layout::QUALITY_REPORT))]) {
        let text = match &copies {
            Some(copies) => read(copies, &copy).map_err(|error| unreadable(&folder.join(&copy), &error))?,
            None => None,
        };
        let path = place.files.folder.join(report);
        match text {
            Some(text) if read(&root, &path).ok().flatten().as_ref() != Some(&text) => {
                root.write(&path, &text).map_err(|error| unwritable(&path, &error))?;
            }
            Some(_) => {}
            None => {
                root.remove(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
    }
    Ok(())
}

fn read(root: &Root, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match root.read(path, CAP) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
