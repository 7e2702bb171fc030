//! What services that call one another's functions expect of one another, and whether new releases fit
//! in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Controller;
use super::publish::Candidate;
use crate::config::ServiceName;
use crate::deploy::agreement::{Disagreement, bind, keeps};
use crate::wasm::Contract;
use crate::wasm::typed::{Bindings, Interface};

/// Those of a live release.
pub(super) struct Terms {
    /// What it wants and offers.
    pub(super) contract: Arc<Contract>,
    /// Whom it calls.
    pub(super) bindings: Bindings,
}

impl Controller {
    /// Parts candidates: those that could go live together, each now with its bindings, and those that
    /// can't.
    pub(super) fn sift(
        &self,
        mut batch: Vec<Candidate>,
    ) -> (Vec<Candidate>, Vec<(Candidate, Disagreement)>) {
        let mut disagreeing = Vec::new();
        loop {
            match self.agree(&batch) {
                Ok(bindings) => {
                    for (candidate, bindings) in batch.iter_mut().zip(bindings) {
                        candidate.bindings = bindings;
                    }
                    return (batch, disagreeing);
                }
                // what relied on it is looked at again without it
                Err((index, disagreement)) => {
                    disagreeing.push((batch.remove(index), disagreement));
                }
            }
        }
    }

    /// The bindings of all candidates if they went live together; or the first that can't, and why.
    fn agree(&self, batch: &[Candidate]) -> Result<Vec<Bindings>, (usize, Disagreement)> {
        let new: BTreeMap<_, _> = batch.iter().map(|one| (&one.name, one)).collect();
        let serves =
            |candidate: Option<&&Candidate>, provider: &ServiceName, wanted: &Interface| {
                let contract = match candidate {
                    Some(candidate) => &candidate.warm.contract,
                    None => &self.entries.get(provider)?.terms.as_ref()?.contract,
                };
                contract.exports.serves(wanted)
            };
        // as it will be once all have taken over
        let later = |provider: &ServiceName, wanted: &Interface| {
            serves(new.get(provider), provider, wanted)
        };
        // as it is at first: what is only tried serves nobody for sure
        let at_once = |one: &&&Candidate| self.rollout(one).is_none();
        let now = |provider: &ServiceName, wanted: &Interface| {
            serves(new.get(provider).filter(at_once), provider, wanted)
        };
        let mut all = Vec::with_capacity(batch.len());
        for (index, candidate) in batch.iter().enumerate() {
            let granted = &candidate.warm.release.manifest.grants.services;
            let wanted = &candidate.warm.contract.wanted;
            let bindings = bind(&candidate.name, wanted, granted, &now);
            all.push(bindings.map_err(|disagreement| (index, disagreement))?);
        }
        let staying = self
            .entries
            .iter()
            .filter(|(name, _)| !new.contains_key(name))
            .filter_map(|(name, entry)| Some((name, entry.terms.as_ref()?)))
            .filter(|(_, terms)| !terms.bindings.is_empty());
        for (importer, terms) in staying {
            let wanted = &terms.contract.wanted;
            for (index, candidate) in batch.iter().enumerate() {
                keeps(&candidate.name, importer, wanted, &terms.bindings, &later)
                    .map_err(|disagreement| (index, disagreement))?;
            }
        }
        Ok(all)
    }

    /// The services that call this one's functions.
    pub(super) fn bound_to(&self, provider: &ServiceName) -> Vec<&ServiceName> {
        let bound = self.entries.iter().filter(|(name, entry)| {
            let terms = entry.terms.as_ref();
            *name != provider
                && terms.is_some_and(|terms| terms.bindings.values().any(|bound| bound == provider))
        });
        bound.map(|(name, _)| name).collect()
    }
}
