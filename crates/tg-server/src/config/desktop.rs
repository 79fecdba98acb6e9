//! What the environment says of the user's desktop: which browser they want and the variables it needs.
//! Starts nothing; keys and tokens of the environment are not among them.

use super::lookup::Lookup;

/// The user's browser and what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desktop {
    /// Commands to try, in their order: those of `BROWSER`, else the opener of the platform.
    pub browsers: Vec<String>,
    /// Variables a browser is given.
    pub environment: Vec<(String, String)>,
}

/// Opens an address in the browser that the user chose for their desktop.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Variables that a program of the desktop needs.
const NAMES: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TMPDIR",
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DESKTOP_SESSION",
    "KDE_FULL_SESSION",
    "KDE_SESSION_VERSION",
    "GNOME_DESKTOP_SESSION_ID",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
];

/// Beginnings of the names of further ones.
const FAMILIES: &[&str] = &["XDG_", "LC_"];

impl Lookup<'_> {
    /// What the environment says of the user's desktop.
    pub(super) fn desktop(&self) -> Desktop {
        let chosen = self.variable("BROWSER").unwrap_or_default();
        let mut browsers: Vec<String> = chosen
            .split(':')
            .map(str::trim)
            .filter(|command| !command.is_empty())
            .map(str::to_owned)
            .collect();
        if browsers.is_empty() {
            browsers.push(OPENER.to_owned());
        }
        let is_needed =
            |name: &str| NAMES.contains(&name) || FAMILIES.iter().any(|begin| name.starts_with(begin));
        let needed = self.inputs.environment.iter().filter(|(name, _)| is_needed(name));
        let path = ("PATH".to_owned(), self.search_path());
        let environment = needed.map(|(name, value)| (name.clone(), value.clone())).chain([path]).collect();
        Desktop { browsers, environment }
    }
}
