//! Settings of `jeton serve`: flag over environment (both by clap) over file over default.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use jeton_authority::{AuthorityConfig, config::LogKept};
use jeton_types::Span;
use serde::Deserialize;

use crate::{args::ServeArgs, exit::Failure};

/// What a settings file may hold. Unknown names are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    data_dir: Option<PathBuf>,
    keys_dir: Option<PathBuf>,
    root_token_file: Option<PathBuf>,
    http: Option<String>,
    feed: Option<String>,
    plaintext: Option<bool>,
    ballast_mib: Option<u32>,
    log_retention: Option<Span>,
    log_records: Option<u64>,
    no_succession: Option<bool>,
}

/// All settings, resolved; all problems of the file together.
pub fn resolve(args: ServeArgs) -> Result<AuthorityConfig, Failure> {
    let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
    let mut problems = Vec::new();
    let mut address = |name: &str, text: Option<String>| -> Option<SocketAddr> {
        let text = text?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            problems.push(format!("{name} = \"{text}\" is no address; write it like 127.0.0.1:7400"));
        }
        parsed
    };
    let (http, feed) = (address("http", file.http), address("feed", file.feed));
    if !problems.is_empty() {
        let name = args.config.unwrap_or_default();
        return Err(Failure::usage(format!("{}: {}", name.display(), problems.join("; "))));
    }
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config =
        AuthorityConfig::new(args.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("./jeton-data")));
    config.keys_dir = args.keys_dir.or(file.keys_dir);
    config.root_token_file = args.root_token_file.or(file.root_token_file);
    config.http = args.http.or(http).unwrap_or_else(|| loopback(AuthorityConfig::HTTP_PORT));
    config.feed = args.feed.or(feed).unwrap_or_else(|| loopback(AuthorityConfig::FEED_PORT));
    config.ballast_mib = args.ballast_mib.or(file.ballast_mib).unwrap_or(AuthorityConfig::BALLAST_MIB);
    config.log = log_kept(args.log_retention.or(file.log_retention), args.log_records.or(file.log_records))?;
    config.plaintext = args.plaintext || file.plaintext.unwrap_or(false);
    config.succession = !(args.no_succession || file.no_succession.unwrap_or(false));
    Ok(config)
}

fn log_kept(retention: Option<Span>, records: Option<u64>) -> Result<LogKept, Failure> {
    let age_max = retention.map_or(LogKept::AGE_MAX, Span::duration);
    let records_max = records.unwrap_or(LogKept::RECORDS_MAX);
    if age_max < LogKept::AGE_MIN {
        return Err(Failure::usage(
            "--log-retention is at least 1m: whoever is cut off for a moment must find what it missed",
        ));
    }
    if records_max < LogKept::RECORDS_MIN {
        let least = LogKept::RECORDS_MIN;
        let why = "whoever takes a snapshot must find what comes after it";
        return Err(Failure::usage(format!("--log-records is at least {least}: {why}")));
    }
    Ok(LogKept { age_max, records_max })
}

fn read(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(config: Option<PathBuf>) -> ServeArgs {
        ServeArgs {
            data_dir: None,
            keys_dir: None,
            root_token_file: None,
            http: None,
            feed: None,
            plaintext: false,
            ballast_mib: None,
            log_retention: None,
            log_records: None,
            no_succession: false,
            config,
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let (_folder, path) = file("data_dir = \"/d\"\nhttp = \"127.0.0.1:1\"\nfeed = \"127.0.0.1:2\"\n");
        let flags = ServeArgs { http: Some("127.0.0.1:3".parse().unwrap()), ..args(Some(path)) };
        let config = resolve(flags).unwrap();
        assert_eq!((config.data_dir, config.http.port(), config.feed.port()), ("/d".into(), 3, 2));
        let config = resolve(args(None)).unwrap();
        assert_eq!((config.http.port(), config.feed.port(), config.plaintext), (7400, 7401, false));
        assert!(config.succession);
        let (_folder, path) = file("no_succession = true\n");
        assert!(!resolve(args(Some(path))).unwrap().succession);
    }

    #[test]
    fn what_is_kept_of_the_log_has_a_least() {
        let (_folder, path) = file("log_retention = \"2d\"\nlog_records = 5000\n");
        let config = resolve(args(Some(path.clone()))).unwrap();
        assert_eq!(config.log, LogKept { age_max: std::time::Duration::from_secs(2 * 24 * 3_600), records_max: 5_000 });
        let flags = |log_retention: Option<&str>, log_records| ServeArgs {
            log_retention: log_retention.map(|text| text.parse().unwrap()),
            log_records,
            ..args(Some(path.clone()))
        };
        assert_eq!(resolve(flags(None, Some(1_000))).unwrap().log.records_max, 1_000);
        assert!(resolve(flags(None, Some(999))).unwrap_err().message.contains("--log-records is at least 1000"));
        assert!(resolve(flags(Some("59s"), None)).unwrap_err().message.contains("--log-retention is at least 1m"));
        assert_eq!(resolve(args(None)).unwrap().log, LogKept::default());
    }

    #[test]
    fn unknown_names_and_all_bad_values_are_told() {
        let (_folder, path) = file("data = \"/d\"\n");
        assert!(resolve(args(Some(path))).unwrap_err().message.contains("unknown field `data`"));
        let (_folder, path) = file("http = \"x\"\nfeed = \"y\"\n");
        let message = resolve(args(Some(path))).unwrap_err().message;
        assert!(message.contains("http = ") && message.contains("feed = "), "{message}");
        assert!(resolve(args(Some("/nowhere/at/all".into()))).is_err());
    }
}
