//! Finds the user of this machine who runs a command.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// On Linux, the owner of this entry is the effective user of the process (proc(5)).
const OWN_PROCESS: &str = "/proc/self";
/// File with the names of local users.
const PASSWD: &str = "/etc/passwd";

/// The name of the user who runs this process.
///
/// If `SUDO_USER` is set and the process runs as root or as the owner of the node's data folder, the name is
/// `SUDO_USER`: either sudo has set it, or the user already has all rights. Otherwise the name is that of the process's
/// user id in [`PASSWD`], or `uid` and the number. The name is `unknown` when the user id cannot be read.
pub(crate) fn name(data: &Path) -> String {
    let Ok(own) = std::fs::metadata(OWN_PROCESS).map(|process| process.uid()) else { return "unknown".to_owned() };
    let owner = std::fs::metadata(data).map(|folder| folder.uid()).ok();
    let sudo = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    match sudo {
        Some(name) if own == 0 || Some(own) == owner => name,
        _ => std::fs::read_to_string(PASSWD).ok().and_then(|text| name_of(own, &text)).unwrap_or(format!("uid{own}")),
    }
}

/// The name of a user id in passwd(5): `name:password:uid:...`.
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_user_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# odd\nhelen:x:1001:1001::/home/helen:/bin/sh\n";
        assert_eq!(name_of(0, passwd).as_deref(), Some("root"));
        assert_eq!(name_of(1001, passwd).as_deref(), Some("helen"));
        assert_eq!(name_of(7, passwd), None);
    }
}
