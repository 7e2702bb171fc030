//! User names: which are allowed, and when two spellings are one name.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The fewest characters of a name.
pub const MIN_CHARACTERS: usize = 3;
/// The most characters of a name.
pub const MAX_CHARACTERS: usize = 32;

/// What a name may contain besides letters, their marks, and decimal digits.
const PUNCTUATION: &[char] = &['.', '_', '-', '+', '@'];

/// A name that a user can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    spelling: String,
    key: String,
}

impl Name {
    /// Checks a name as somebody typed it.
    ///
    /// It is brought into Unicode's normalization form NFKC first, so that the same name typed
    /// with another keyboard (composed or decomposed accents, full-width letters) is the same
    /// string; its characters (code points) are counted after that.
    pub fn parse(typed: &str) -> Result<Self, NameError> {
        if typed.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        let spelling = nfkc(typed);
        let characters = spelling.chars().count();
        if !(MIN_CHARACTERS..=MAX_CHARACTERS).contains(&characters) {
            return Err(NameError::Length { characters });
        }
        if let Some(character) = spelling.chars().find(|&c| !is_allowed(c)) {
            return Err(NameError::Forbidden { character });
        }
        if !spelling.starts_with(can_begin) {
            return Err(NameError::Beginning);
        }
        let key = fold(typed);
        Ok(Self { spelling, key })
    }

    /// The name as its owner spells it.
    pub fn spelling(&self) -> &str {
        &self.spelling
    }

    /// The name folded: the same for every spelling of it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Fewer than [`MIN_CHARACTERS`], or more than [`MAX_CHARACTERS`].
    Length {
        /// How many there are.
        characters: usize,
    },
    /// There is a control character in it.
    Control,
    /// There is a character in it that no name may have.
    Forbidden {
        /// The first such character.
        character: char,
    },
    /// It begins with a mark or with punctuation.
    Beginning,
}

/// What all spellings of a name have in common: compatibility variants and cases are equal
/// (Unicode Standard, section 3.13, D146: compatibility caseless matching). Takes any string.
pub fn fold(typed: &str) -> String {
    let case = CaseMapper::new();
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(typed);
    let once = nfkc(&case.fold_string(&decomposed));
    nfkc(&case.fold_string(&once))
}

fn nfkc(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfkc()
        .normalize(text)
        .into_owned()
}

/// Whether a name may contain `c`. What can't be seen is refused even where it counts as a letter
/// (the Hangul fillers do): it would make two names that look the same.
fn is_allowed(c: char) -> bool {
    let visible = !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    visible && (can_begin(c) || in_group(c, GeneralCategoryGroup::Mark) || PUNCTUATION.contains(&c))
}

fn can_begin(c: char) -> bool {
    in_group(c, GeneralCategoryGroup::Letter) || in_group(c, GeneralCategoryGroup::DecimalNumber)
}

fn in_group(c: char, group: GeneralCategoryGroup) -> bool {
    group.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(typed: &str) -> String {
        Name::parse(typed).unwrap().key
    }

    #[test]
    fn spellings_of_one_name_have_one_key() {
        for (one, other) in [
            ("alice", "ALICE"),
            ("Straße", "STRASSE"),
            ("Ａｌｉｃｅ", "alice"),
            ("Zoe\u{308}", "ZO\u{cb}"),
            ("ΟΔΟΣ", "οδος"),
            ("οδος", "οδοσ"),
            ("ﬁnn", "FINN"),
            ("Ⅷth", "viiith"),
        ] {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn other_names_have_other_keys() {
        for (one, other) in [
            ("alice", "alicia"),
            ("zoe", "zoë"),
            ("a-b", "a_b"),
            ("a.bc", "abc"),
        ] {
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn a_name_keeps_its_owners_spelling() {
        assert_eq!(Name::parse("Straße").unwrap().spelling(), "Straße");
    }

    #[test]
    fn letters_of_all_scripts_are_allowed() {
        for name in [
            "李小龙",
            "नमस्ते",
            "Владимир",
            "محمد",
            "user.name+tag@example",
            "42nd",
        ] {
            assert!(Name::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(Name::parse(&"ß".repeat(32)).is_ok());
        assert_eq!(
            Name::parse(&"ß".repeat(33)),
            Err(NameError::Length { characters: 33 })
        );
        assert!(Name::parse(&"e\u{301}".repeat(32)).is_ok());
        assert_eq!(Name::parse("éé"), Err(NameError::Length { characters: 2 }));
        assert_eq!(Name::parse(""), Err(NameError::Length { characters: 0 }));
    }

    #[test]
    fn what_cannot_be_seen_or_breaks_lines_is_refused() {
        for c in ['\0', '\n', '\u{7f}', '\u{85}'] {
            assert_eq!(
                Name::parse(&format!("ali{c}ce")),
                Err(NameError::Control),
                "{c:?}"
            );
        }
        for character in [
            '\u{200b}', '\u{ad}', '\u{3164}', '\u{fe0f}', '\u{202e}', ' ', '/', '😀',
        ] {
            let refused = Name::parse(&format!("ali{character}ce")).unwrap_err();
            assert!(
                matches!(refused, NameError::Forbidden { .. }),
                "{character:?}: {refused:?}"
            );
        }
        assert_eq!(Name::parse("\u{301}abc"), Err(NameError::Beginning));
        assert_eq!(Name::parse("-abc"), Err(NameError::Beginning));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(typed in any::<String>()) {
            let once = fold(&typed);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn normal_forms_and_lower_case_fold_alike(typed in any::<String>()) {
            let folded = fold(&typed);
            let nfd = DecomposingNormalizerBorrowed::new_nfd().normalize(&typed);
            prop_assert_eq!(fold(&nfd), folded.clone());
            prop_assert_eq!(fold(&nfkc(&typed)), folded);
        }

        // The dotless i is left out: its capital is the I of everybody else.
        #[test]
        fn capitals_fold_like_small_letters(typed in "[a-zà-öø-įĳ-ňŋ-žα-ωа-яա-ֆ]{3,16}") {
            let small = fold(&typed);
            prop_assert_eq!(fold(&typed.to_uppercase()), small.clone());
            prop_assert_eq!(fold(&typed.to_lowercase()), small);
        }

        #[test]
        fn no_input_gets_past_the_rules(typed in any::<String>()) {
            if let Ok(name) = Name::parse(&typed) {
                let characters = name.spelling().chars().count();
                prop_assert!((MIN_CHARACTERS..=MAX_CHARACTERS).contains(&characters));
                prop_assert!(name.spelling().chars().all(|c| !c.is_control() && c != '/'));
                prop_assert!(!name.key().is_empty() && !name.key().contains('/'));
                prop_assert_eq!(Name::parse(name.spelling()), Ok(name));
            }
        }

        #[test]
        fn plain_names_are_accepted(typed in "[a-zA-Z0-9][a-zA-Z0-9._-]{2,31}") {
            prop_assert!(Name::parse(&typed).is_ok());
        }
    }
}
