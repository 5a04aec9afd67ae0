//! Serialises DNs and attribute descriptions as text in plans and journals, for `#[serde(with = ...)]`.

pub(crate) mod dn {
    use provost_entry::Dn;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(dn: &Dn, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(dn.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dn, D::Error> {
        Dn::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

pub(crate) mod attribute {
    use provost_entry::AttributeDescription;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(name: &AttributeDescription, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AttributeDescription, D::Error> {
        AttributeDescription::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
