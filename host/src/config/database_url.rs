//! A connection URL that doesn't show its password.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// The URL of a PostgreSQL database. What it prints or serialises as has no password; [`DatabaseUrl::expose`] has it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// The whole URL, to connect with.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = String;

    /// The error doesn't repeat the text, which may hold a password.
    fn try_from(text: String) -> Result<Self, String> {
        let form = "expected postgres://user:password@host:port/database";
        let url = Url::parse(&text).map_err(|error| format!("not a URL ({error}); {form}"))?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self(url)),
            other => Err(format!("`{other}://` isn't PostgreSQL's; {form}")),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("postgres://***");
        }
        // Parameters can carry passwords and keys too; only the socket's directory is worth showing.
        let host = url.query_pairs().find(|(name, _)| name == "host").map(|(_, host)| host.into_owned());
        url.set_query(None);
        match host {
            Some(host) => write!(f, "{url}?host={host}"),
            None => write!(f, "{url}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        DatabaseUrl::try_from(url.to_owned()).unwrap().to_string()
    }

    #[test]
    fn a_password_is_shown_as_stars() {
        assert_eq!(shown("postgres://me:s3cret@host:5433/db"), "postgres://me:***@host:5433/db");
        assert_eq!(shown("postgres://me@host/db?password=s3cret"), "postgres://me@host/db");
        assert_eq!(
            shown("postgresql://me@localhost/db?host=/run/pg&sslkey=k"),
            "postgresql://me@localhost/db?host=/run/pg"
        );
        assert_eq!(shown("postgres:///db?host=/tmp"), "postgres:///db?host=/tmp");
    }

    #[test]
    fn the_whole_url_is_kept() {
        let url = "postgres://me:s3cret@host:5433/db?sslmode=require";
        assert_eq!(DatabaseUrl::try_from(url.to_owned()).unwrap().expose(), url);
    }
}
