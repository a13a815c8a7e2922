//! How fields of foreign types are written: addresses, networks, paths, one or many.
//!
//! Named by `#[serde(with = …)]` in the sections. Each says what is wrong with a text as "what
//! is wrong; what to write". It must not know which setting a value belongs to.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address with its port.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Address(SocketAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is not an address with a port; write it as 127.0.0.1:8000 or [::1]:8000, without a host name")
        })
    }
}

/// `server.listen`: a list of addresses.
pub(super) mod addresses {
    use super::{Address, Deserialize, Deserializer, Serialize, Serializer, SocketAddr};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SocketAddr>, D::Error> {
        let addresses = Vec::<Address>::deserialize(deserializer)?;
        Ok(addresses.into_iter().map(|address| address.0).collect())
    }

    pub(crate) fn serialize<S: Serializer>(
        addresses: &[SocketAddr],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        addresses.serialize(serializer)
    }
}

/// `server.telemetry_listen`: one address, or `""` for none.
pub(super) mod address_or_none {
    use super::{Address, Deserialize, Deserializer, Serialize, Serializer, SocketAddr};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        match String::deserialize(deserializer)? {
            text if text.is_empty() => Ok(None),
            text => Address::try_from(text)
                .map(|address| Some(address.0))
                .map_err(serde::de::Error::custom),
        }
    }

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        address.map(|address| address.to_string()).unwrap_or_default().serialize(serializer)
    }
}

/// A network, or one address alone.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|net| Self(net.trunc()))
            .map_err(|_| format!("`{text}` is not a network; write it as 10.0.0.0/8 or fd00::/8"))
    }
}

/// Lists of networks.
pub(super) mod networks {
    use super::{Deserialize, Deserializer, IpNet, Network, Serialize, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNet>, D::Error> {
        let networks = Vec::<Network>::deserialize(deserializer)?;
        Ok(networks.into_iter().map(|network| network.0).collect())
    }

    pub(crate) fn serialize<S: Serializer>(
        networks: &[IpNet],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        networks.serialize(serializer)
    }
}

/// A file or folder, or `""` for none.
pub(super) mod path_or_none {
    use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => path.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

/// Permissions of a file, in octal: `0660`.
pub(super) mod mode {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_octal
            .then(|| u32::from_str_radix(&text, 8).ok())
            .flatten()
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{text}` are no permissions; write them as chmod takes them, such as \"0660\""
                ))
            })
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }
}

/// One text, or a list of texts.
pub(super) mod one_or_many {
    use std::fmt;

    use schemars::{Schema, SchemaGenerator, json_schema};
    use serde::de::{SeqAccess, Visitor};

    use super::{Deserializer, Serialize, Serializer};

    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }

    pub(crate) fn serialize<S: Serializer>(
        texts: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        texts.serialize(serializer)
    }

    pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_is_a_network_of_one() {
        let network = |text: &str| Network::try_from(text.to_owned()).map(|network| network.0);
        assert_eq!(network("10.0.0.1"), Ok("10.0.0.1/32".parse().unwrap()));
        assert_eq!(network("10.1.2.3/8"), Ok("10.0.0.0/8".parse().unwrap()));
        assert!(network("10.0.0.0/99").is_err());
        assert!(network("intranet").is_err());
    }

    #[test]
    fn a_listening_address_has_a_number_and_a_port() {
        assert!(Address::try_from("[::1]:8000".to_owned()).is_ok());
        for wrong in ["localhost:8000", ":8000", "127.0.0.1", "8000"] {
            assert!(Address::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
