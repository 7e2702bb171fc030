//! The types of what is passed: owned, and of no engine, so that those of one component can be compared
//! with those of another.
//!
//! A type is what it is made of, not what it is called: two records with equal fields are equal. The names
//! of fields, cases and flags are part of it, for values are passed by them.

use std::fmt::{self, Display, Formatter, Write as _};

use wasmtime::component::{ResourceType, Type as Source};

/// Types that the parameters and the result of one function may be made of. They are written out in
/// full, and a component can say in a few bytes what fills the memory then.
const MAX_PARTS: usize = 10_000;

/// The type of a value that may be passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// One without parts, by its name in WIT.
    Plain(&'static str),
    /// `list<T>`
    List(Box<Type>),
    /// `list<T, N>`
    Array(Box<Type>, u32),
    /// `map<K, V>`
    Map(Box<Type>, Box<Type>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`, either of which may be missing.
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// `tuple<A, B>`
    Tuple(Vec<Type>),
    /// The fields, in their order.
    Record(Vec<(String, Type)>),
    /// The cases, in their order.
    Variant(Vec<(String, Option<Type>)>),
    /// The cases, in their order.
    Enum(Vec<String>),
    /// The flags, in their order.
    Flags(Vec<String>),
}

/// Why a value of some type can't be passed to another sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A resource.
    #[error("the handle `{0}`")]
    Handle(String),
    /// `stream<T>`
    #[error("a `stream`")]
    Stream,
    /// `future<T>`
    #[error("a `future`")]
    Future,
    /// `error-context`
    #[error("an `error-context`")]
    ErrorContext,
    /// A type that is too large to be written out.
    #[error("a type of more than {MAX_PARTS} parts")]
    TooLarge,
}

/// Turns the types of one function's parameters and result into owned ones.
pub(super) struct Reader<'a> {
    /// The resources that the interface names.
    resources: &'a [(String, ResourceType)],
    left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(resources: &'a [(String, ResourceType)]) -> Self {
        Self {
            resources,
            left: MAX_PARTS,
        }
    }

    /// The recursion is as deep as the type, which validation limits to 100.
    pub(super) fn read(&mut self, source: &Source) -> Result<Type, Unfit> {
        self.left = self.left.checked_sub(1).ok_or(Unfit::TooLarge)?;
        Ok(match source {
            Source::Bool => Type::Plain("bool"),
            Source::S8 => Type::Plain("s8"),
            Source::U8 => Type::Plain("u8"),
            Source::S16 => Type::Plain("s16"),
            Source::U16 => Type::Plain("u16"),
            Source::S32 => Type::Plain("s32"),
            Source::U32 => Type::Plain("u32"),
            Source::S64 => Type::Plain("s64"),
            Source::U64 => Type::Plain("u64"),
            Source::Float32 => Type::Plain("f32"),
            Source::Float64 => Type::Plain("f64"),
            Source::Char => Type::Plain("char"),
            Source::String => Type::Plain("string"),
            Source::List(list) => Type::List(self.boxed(&list.ty())?),
            Source::FixedLengthList(list) => Type::Array(self.boxed(&list.ty())?, list.len()),
            Source::Map(map) => Type::Map(self.boxed(&map.key())?, self.boxed(&map.value())?),
            Source::Option(option) => Type::Option(self.boxed(&option.ty())?),
            Source::Result(result) => {
                let mut part = |ty: Option<Source>| ty.map(|ty| self.boxed(&ty)).transpose();
                Type::Result(part(result.ok())?, part(result.err())?)
            }
            Source::Tuple(tuple) => {
                let types = tuple.types().map(|ty| self.read(&ty));
                Type::Tuple(types.collect::<Result<_, _>>()?)
            }
            Source::Record(record) => {
                let fields = record
                    .fields()
                    .map(|field| Ok((field.name.to_owned(), self.read(&field.ty)?)));
                Type::Record(fields.collect::<Result<_, Unfit>>()?)
            }
            Source::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    self.count()?;
                    let payload = case.ty.map(|ty| self.read(&ty)).transpose()?;
                    Ok((case.name.to_owned(), payload))
                });
                Type::Variant(cases.collect::<Result<_, Unfit>>()?)
            }
            Source::Enum(cases) => Type::Enum(self.names(cases.names())?),
            Source::Flags(flags) => Type::Flags(self.names(flags.names())?),
            Source::Own(resource) => return Err(self.handle("own", resource)),
            Source::Borrow(resource) => return Err(self.handle("borrow", resource)),
            Source::Stream(_) => return Err(Unfit::Stream),
            Source::Future(_) => return Err(Unfit::Future),
            Source::ErrorContext => return Err(Unfit::ErrorContext),
        })
    }

    fn boxed(&mut self, source: &Source) -> Result<Box<Type>, Unfit> {
        self.read(source).map(Box::new)
    }

    fn count(&mut self) -> Result<(), Unfit> {
        self.left = self.left.checked_sub(1).ok_or(Unfit::TooLarge)?;
        Ok(())
    }

    fn names<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<Vec<String>, Unfit> {
        names
            .map(|name| self.count().map(|()| name.to_owned()))
            .collect()
    }

    fn handle(&self, kind: &str, resource: &ResourceType) -> Unfit {
        let named = self.resources.iter().find(|(_, known)| known == resource);
        let name = named.map_or("_", |(name, _)| name);
        Unfit::Handle(format!("{kind}<{name}>"))
    }
}

impl Display for Type {
    /// As in WIT, but that records, variants, enums and flags are written out in place.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::List(ty) => write!(f, "list<{ty}>"),
            Self::Array(ty, length) => write!(f, "list<{ty}, {length}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Option(ty) => write!(f, "option<{ty}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(error)) => write!(f, "result<_, {error}>"),
            Self::Result(Some(ok), Some(error)) => write!(f, "result<{ok}, {error}>"),
            Self::Tuple(types) => {
                f.write_str("tuple<")?;
                list(f, types, |f, ty| ty.fmt(f))?;
                f.write_char('>')
            }
            Self::Record(fields) => braced(f, "record", fields, |f, (name, ty)| {
                write!(f, "{name}: {ty}")
            }),
            Self::Variant(cases) => braced(f, "variant", cases, |f, case| match case {
                (name, Some(ty)) => write!(f, "{name}({ty})"),
                (name, None) => f.write_str(name),
            }),
            Self::Enum(names) => braced(f, "enum", names, |f, name| f.write_str(name)),
            Self::Flags(names) => braced(f, "flags", names, |f, name| f.write_str(name)),
        }
    }
}

fn braced<T>(
    f: &mut Formatter<'_>,
    word: &str,
    items: &[T],
    each: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{word} {{ ")?;
    list(f, items, each)?;
    f.write_str(" }")
}

/// Items with commas between them.
pub(super) fn list<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    each: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        each(f, item)?;
    }
    Ok(())
}
