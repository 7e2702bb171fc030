//! Where two signatures begin to differ, in words: nobody finds a renamed field by comparing two long
//! lines.

use super::signature::Function;
use super::types::Type;

/// The first place that differs, if it is within the parameters or the result.
pub(super) fn difference(wanted: &Function, offered: &Function) -> Option<String> {
    if wanted.params.len() != offered.params.len() {
        return Some("the number of its parameters".into());
    }
    for ((name, ty), (other_name, other)) in wanted.params.iter().zip(&offered.params) {
        if name != other_name {
            return Some(format!(
                "a parameter's name, `{name}` against `{other_name}`"
            ));
        }
        if ty != other {
            return Some(within(format!("the parameter `{name}`"), ty, other));
        }
    }
    match (&wanted.result, &offered.result) {
        (Some(ty), Some(other)) => Some(within("the result".into(), ty, other)),
        _ => None,
    }
}

/// The innermost place that differs. What comes before it is the same in both.
fn within(place: String, wanted: &Type, offered: &Type) -> String {
    match (wanted, offered) {
        (Type::List(ty), Type::List(other)) | (Type::Option(ty), Type::Option(other)) => {
            within(place, ty, other)
        }
        (Type::Result(ok, error), Type::Result(other_ok, other_error)) => {
            let sides = [("ok", ok, other_ok), ("error", error, other_error)];
            match sides.into_iter().find(|(_, ty, other)| ty != other) {
                Some((word, Some(ty), Some(other))) => {
                    within(format!("{place} ({word})"), ty, other)
                }
                _ => place,
            }
        }
        (Type::Tuple(types), Type::Tuple(others)) if types.len() == others.len() => {
            match types.iter().zip(others).find(|(ty, other)| ty != other) {
                Some((ty, other)) => within(place, ty, other),
                None => place,
            }
        }
        _ => match (parts(wanted), parts(offered)) {
            (Some((word, ours)), Some((other, theirs))) if word == other => {
                among(place, word, &ours, &theirs)
            }
            _ => place,
        },
    }
}

/// A name and, if there is one, a type.
type Part<'a> = (&'a str, Option<&'a Type>);

/// What a type is made of that has names, and what one calls such a part.
fn parts(ty: &Type) -> Option<(&'static str, Vec<Part<'_>>)> {
    fn bare(names: &[String]) -> Vec<Part<'_>> {
        names.iter().map(|name| (&**name, None)).collect()
    }
    Some(match ty {
        Type::Record(fields) => {
            let parts = fields.iter().map(|(name, ty)| (&**name, Some(ty)));
            ("field", parts.collect())
        }
        Type::Variant(cases) => {
            let parts = cases.iter().map(|(name, ty)| (&**name, ty.as_ref()));
            ("case", parts.collect())
        }
        Type::Enum(names) => ("case", bare(names)),
        Type::Flags(names) => ("flag", bare(names)),
        _ => return None,
    })
}

fn among(place: String, word: &str, ours: &[Part<'_>], theirs: &[Part<'_>]) -> String {
    for ((name, ty), (other_name, other)) in ours.iter().zip(theirs) {
        if name != other_name {
            return format!("{place}, {word} `{name}` against `{other_name}`");
        }
        if ty != other {
            let place = format!("{place}, {word} `{name}`");
            return match (ty, other) {
                (Some(ty), Some(other)) => within(place, ty, other),
                _ => place,
            };
        }
    }
    let longer = if ours.len() > theirs.len() {
        ours
    } else {
        theirs
    };
    match longer.get(ours.len().min(theirs.len())) {
        Some((name, _)) => format!("{place}, {word} `{name}`, which only one of them has"),
        None => place,
    }
}
