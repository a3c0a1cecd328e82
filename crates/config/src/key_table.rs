//! The macro that turns the table in `keys` into structures and into what the rest asks of a key.
//!
//! From a line come: the field of the section's structure, its default, how it is read with its bounds,
//! how a reload takes it up, and a [`Key`](super::key::Key) for the names in the file and the
//! environment, for config/taciturn.toml and for docs/reference.md.

/// See the module `keys` for how a table is written.
macro_rules! key_table {
    ($(
        $(#[doc = $head:literal])*
        [$section:ident]
        $(own {$(
            $(#[doc = $own_help:literal])*
            $own:ident: $kind:expr, $shows:ident $shown:literal, $own_reload:expr
            $(, coturn $own_coturn:literal)?;
        )*})?
        $(struct $Struct:ident $(and {$(
            $(#[doc = $extra_help:literal])*
            $extra:ident: $extra_type:ty;
        )*})? {$(
            $(#[doc = $help:literal])*
            $key:ident: $type:ty = $default:expr, $(in $bounds:expr,)? $(as $example:literal,)? $reload:expr
            $(, coturn $coturn:literal)?;
        )*})?
    )*) => {
        $($(
            #[doc = concat!("The section `[", section!($section), "]`.")]
            #[allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]
            #[derive(Clone, Debug)]
            pub struct $Struct {
                $($(
                    $(#[doc = $extra_help])*
                    pub $extra: $extra_type,
                )*)?
                $(
                    #[doc = concat!("The key `", dotted!($section $key), "`.\n\n")]
                    $(#[doc = $help])*
                    pub $key: $type,
                )*
            }

            impl Default for $Struct {
                fn default() -> Self {
                    Self { $($($extra: Default::default(),)*)? $($key: $default,)* }
                }
            }

            impl $Struct {
                /// Reads the section; a key that is not there, or is wrong, has its default.
                pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
                    let mut section = Self::default();
                    $(
                        let bounds = bounds!($($bounds)?);
                        let value = <$type as Value>::read(reader, dotted!($section $key), &bounds);
                        if let Some(value) = value {
                            section.$key = value;
                        }
                    )*
                    section
                }

                /// Takes the place of `old`: what needs a restart is as it was.
                pub(crate) fn take_up(&mut self, old: &Self, changes: &mut Changes) {
                    $(changes.take_up(dotted!($section $key), $reload, &old.$key, &mut self.$key);)*
                }
            }
        )?)*

        /// Every key of the configuration, in the order of config/taciturn.toml.
        pub static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| vec![$(
            Section {
                name: section!($section),
                help: &[$($head),*],
                keys: [
                    $(vec![$(Key {
                        path: dotted!($section $own),
                        name: stringify!($own),
                        kind: $kind,
                        value: $shown.to_owned(),
                        shows: Shows::$shows,
                        on_reload: $own_reload,
                        coturn: optional!($($own_coturn)?),
                        help: &[$($own_help),*],
                    }),*],)?
                    $(vec![$(Key {
                        path: dotted!($section $key),
                        name: stringify!($key),
                        kind: <$type as Value>::kind(&bounds!($($bounds)?)),
                        value: value!(<$type as Value>::toml(&$default), $($example)?),
                        shows: shows!($($example)?),
                        on_reload: $reload,
                        coturn: optional!($($coturn)?),
                        help: &[$($help),*],
                    }),*],)?
                ].concat(),
            },
        )*]);
    };
}

/// The section and the key, as in `limits.connections`.
macro_rules! dotted {
    (top $key:ident) => {
        stringify!($key)
    };
    (auth_database $key:ident) => {
        concat!("auth.database.", stringify!($key))
    };
    ($section:ident $key:ident) => {
        concat!(stringify!($section), ".", stringify!($key))
    };
}

/// The name of a section: that of one within another has a dot.
macro_rules! section {
    (auth_database) => {
        "auth.database"
    };
    ($section:ident) => {
        stringify!($section)
    };
}

macro_rules! bounds {
    () => {
        ()
    };
    ($bounds:expr) => {
        $bounds
    };
}

macro_rules! value {
    ($default:expr,) => {
        $default
    };
    ($default:expr, $example:literal) => {
        $example.to_owned()
    };
}

macro_rules! shows {
    () => {
        Shows::Default
    };
    ($example:literal) => {
        Shows::Example
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($it:literal) => {
        Some($it)
    };
}

pub(super) use {bounds, dotted, key_table, optional, section, shows, value};
