//! Word lists: a name and a line of help for each value of an enum, in one place.
//!
//! Control, metrics, events, the documentation and the command line all show these names;
//! nothing else may spell them.

/// Defines an enum whose values have names. The comment of each value is its help: a
/// sentence for the documentation and for schemas.
///
/// Gives `ALL`, `name()`, `help()`, `from_name()`, `Display`, serde's traits by name, and,
/// with the feature `schemars`, a JSON schema that lists the names.
#[macro_export]
macro_rules! names {
    (
        $(#[$attribute:meta])*
        $visible:vis enum $type:ident {
            $($(#[doc = $help:literal])+ $value:ident = $name:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(::serde::Serialize, ::serde::Deserialize)]
        $visible enum $type {
            $($(#[doc = $help])+ #[serde(rename = $name)] $value,)+
        }

        impl $type {
            /// Every value, in the order in which they are shown.
            $visible const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// Its name wherever it is shown.
            #[must_use]
            $visible const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            #[allow(dead_code, reason = "not every list is documented by the program")]
            $visible const fn help(self) -> &'static str {
                match self {
                    $(Self::$value => concat!($($help),+).trim_ascii_start(),)+
                }
            }

            /// The value of that name.
            #[must_use]
            #[allow(dead_code, reason = "not every list is read")]
            $visible fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        $crate::names_schema!($type);
    };
}

/// The JSON schema of a word list.
#[cfg(feature = "schemars")]
#[doc(hidden)]
#[macro_export]
macro_rules! names_schema {
    ($type:ident) => {
        impl ::schemars::JsonSchema for $type {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({
                    "type": "string",
                    "enum": &Self::ALL.map(|value| value.name())[..],
                    "description": Self::ALL
                        .map(|value| format!("`{}`: {}", value.name(), value.help()))
                        .join(" "),
                })
            }
        }
    };
}

/// Nothing, without the feature.
#[cfg(not(feature = "schemars"))]
#[doc(hidden)]
#[macro_export]
macro_rules! names_schema {
    ($type:ident) => {};
}

#[cfg(test)]
mod tests {
    names! {
        /// For the test.
        enum Word {
            /// The first,
            /// over two lines.
            One = "one",
            /// The second.
            OneMore = "one-more",
        }
    }

    #[test]
    fn a_word_has_its_name_and_its_help_from_one_line() {
        assert_eq!(Word::ALL.map(Word::name), ["one", "one-more"]);
        assert_eq!(Word::One.help(), "The first, over two lines.");
        assert_eq!(Word::from_name("one-more"), Some(Word::OneMore));
        assert_eq!(Word::from_name("two"), None);
        assert_eq!(serde_json::to_string(&Word::OneMore).ok().as_deref(), Some("\"one-more\""));
    }
}
