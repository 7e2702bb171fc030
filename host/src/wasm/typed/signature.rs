//! What a component imports and exports to be called by other services: interfaces, with the signatures
//! of their functions.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ResourceType};

use super::types::{Reader, Type, Unfit, list};

/// What the names of the host's own interfaces begin with.
const HOST: &str = "wasi:";

/// An interface, as one component knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `namespace:package/interface@version`
    pub name: Arc<str>,
    /// Its functions, in the order of their names.
    pub functions: Vec<Function>,
}

/// A function and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name within the interface.
    pub name: Arc<str>,
    /// Names and types of its parameters.
    pub params: Vec<(String, Type)>,
    /// The type of its result.
    pub result: Option<Type>,
    /// It is an `async func`.
    pub is_async: bool,
}

/// Why an interface can't be called by other services, or called of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A signature has what can't leave its sandbox.
    #[error(
        "the function `{function}` of {interface} passes {what}; calls between services pass plain values only, \
         and no handles, streams, futures or error contexts"
    )]
    Function {
        /// The interface.
        interface: Arc<str>,
        /// The function.
        function: Arc<str>,
        /// What it passes.
        what: Unfit,
    },
    /// The interface is about a resource.
    #[error(
        "{interface} defines the resource `{resource}`; calls between services pass plain values only, and no \
         handles, streams, futures or error contexts"
    )]
    Resource {
        /// The interface.
        interface: Arc<str>,
        /// The resource.
        resource: String,
    },
}

/// The interfaces that a component wants of other services: all those with functions that are not the
/// host's. Anything else that it imports is for the host's linker to find or to refuse.
///
/// # Errors
///
/// The first of them that can't be called from another sandbox.
pub fn imports(component: &Component) -> Result<Vec<Interface>, Refusal> {
    let kind = component.component_type();
    let items = kind.imports(component.engine());
    read_all(component, items.map(|(name, item)| (name, item.ty)))
}

/// The interfaces that a component offers to other services: all those with functions that are not the
/// host's.
///
/// # Errors
///
/// The first of them that can't be called from another sandbox.
pub fn exports(component: &Component) -> Result<Vec<Interface>, Refusal> {
    let kind = component.component_type();
    let items = kind.exports(component.engine());
    read_all(component, items.map(|(name, item)| (name, item.ty)))
}

fn read_all<'a>(
    component: &Component,
    items: impl Iterator<Item = (&'a str, ComponentItem)>,
) -> Result<Vec<Interface>, Refusal> {
    let mut interfaces = Vec::new();
    for (name, item) in items {
        // a name without a package is that of a function or an instance which no service can have
        if let ComponentItem::ComponentInstance(instance) = item
            && name.contains(':')
            && !name.starts_with(HOST)
        {
            interfaces.extend(read(component, name, &instance)?);
        }
    }
    Ok(interfaces)
}

/// `None` if the interface has no functions, or anything beside functions and types.
fn read(
    component: &Component,
    name: &str,
    instance: &ComponentInstance,
) -> Result<Option<Interface>, Refusal> {
    let interface: Arc<str> = name.into();
    let (mut sources, mut resources) = (Vec::new(), Vec::<(String, ResourceType)>::new());
    for (name, item) in instance.exports(component.engine()) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => sources.push((name, function)),
            ComponentItem::Resource(resource) => resources.push((name.to_owned(), resource)),
            ComponentItem::Type(_) => {}
            _ => return Ok(None),
        }
    }
    let mut functions = Vec::with_capacity(sources.len());
    for (name, source) in sources {
        let function: Arc<str> = name.into();
        functions.push(
            Function::read(Arc::clone(&function), &source, &resources).map_err(|what| {
                Refusal::Function {
                    interface: Arc::clone(&interface),
                    function,
                    what,
                }
            })?,
        );
    }
    if let Some((resource, _)) = resources.into_iter().next() {
        return Err(Refusal::Resource {
            interface,
            resource,
        });
    }
    functions.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok((!functions.is_empty()).then_some(Interface {
        name: interface,
        functions,
    }))
}

impl Interface {
    /// Where a function is among the functions.
    pub fn position(&self, function: &str) -> Option<usize> {
        self.functions
            .binary_search_by(|known| (*known.name).cmp(function))
            .ok()
    }
}

impl Function {
    fn read(
        name: Arc<str>,
        source: &ComponentFunc,
        resources: &[(String, ResourceType)],
    ) -> Result<Self, Unfit> {
        let mut reader = Reader::new(resources);
        let mut params = Vec::with_capacity(source.params().len());
        for (name, ty) in source.params() {
            params.push((name.to_owned(), reader.read(&ty)?));
        }
        let result = source.results().next();
        Ok(Self {
            name,
            params,
            result: result.map(|ty| reader.read(&ty)).transpose()?,
            is_async: source.async_(),
        })
    }
}

impl Display for Function {
    /// As in WIT.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.is_async { "async func" } else { "func" };
        write!(f, "{}: {word}(", self.name)?;
        list(f, &self.params, |f, (name, ty)| write!(f, "{name}: {ty}"))?;
        f.write_str(")")?;
        match &self.result {
            Some(ty) => write!(f, " -> {ty}"),
            None => Ok(()),
        }
    }
}
