//! Which protocols a build may leave out, and which it did.

/// A module that only comes with a cargo feature.
#[derive(Clone, Copy, Debug)]
pub struct Optional {
    /// First word of the names of its objects, as in `haka.dissectors`.
    pub name: &'static str,
    /// What rule files give to `require`; empty for what cannot be required.
    pub require: &'static str,
    pub feature: &'static str,
    pub there: bool,
}

macro_rules! optional {
    ($($name:literal $require:literal $feature:literal;)*) => {
        /// Every such module.
        pub const OPTIONAL: &[Optional] = &[$(Optional {
            name: $name,
            require: $require,
            feature: $feature,
            there: cfg!(feature = $feature),
        },)*];
    };
}

optional! {
    "http" "protocol/http" "http";
    "http_utils" "protocol/http_utils" "http";
    "dns" "protocol/dns" "dns";
    "tls" "protocol/tls" "tls";
    "quic" "protocol/quic" "tls";
    "smtp" "protocol/smtp" "smtp";
    "ftp" "protocol/ftp" "ftp";
    "ssh" "protocol/ssh" "ssh";
    "dialogue" "" "dialogue";
}

/// What this build leaves out.
pub fn left_out() -> impl Iterator<Item = &'static Optional> {
    OPTIONAL.iter().filter(|module| !module.there)
}

/// The feature without which a module that rules may require is not there.
pub fn missing(require: &str) -> Option<&'static str> {
    left_out()
        .find(|module| !require.is_empty() && module.require == require)
        .map(|module| module.feature)
}

/// Whether a dissector's name, or that of one of its objects, is that of
/// something left out.
pub fn is_left_out(name: &str) -> bool {
    let name = name.strip_prefix("protocol.").unwrap_or(name);
    let first = name.split('.').next().unwrap_or(name);
    left_out().any(|module| module.name == first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::PROTOCOLS;

    #[test]
    fn what_is_there_is_in_the_table_of_protocols() {
        for module in OPTIONAL.iter().filter(|module| !module.require.is_empty()) {
            let row = PROTOCOLS.iter().find(|row| row.require == module.require);
            assert_eq!(row.map(|row| row.name), Some(module.name));
            assert_eq!(missing(module.require), None);
        }
        assert!(!is_left_out("http.request") && !is_left_out("protocol.tcp"));
    }
}
