//! What a shard has relayed for each tenant.

use super::tenant::TenantName;
use super::traffic::Traffic;

/// How many tenants a shard counts for: more than a configuration may have, as names come and go with reloads.
const MOST: usize = 1024;

/// Where the traffic of a tenant is counted on one shard. The default tenant is counted nowhere: what it has relayed is
/// the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TenantSlot(u16);

impl TenantSlot {
    pub(crate) const NONE: Self = Self(u16::MAX);
}

/// What was relayed for each tenant but the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantTraffic(Vec<(TenantName, Traffic)>);

impl TenantTraffic {
    /// Where this tenant is counted from now on: asked where an allocation is made, or comes from elsewhere.
    pub(super) fn slot(&mut self, tenant: &TenantName) -> TenantSlot {
        if tenant.is_default() {
            return TenantSlot::NONE;
        }
        let known = self.0.iter().position(|(known, _)| known == tenant);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() && at < MOST {
            self.0.push((tenant.clone(), Traffic::default()));
        }
        u16::try_from(at).map_or(TenantSlot::NONE, TenantSlot)
    }

    /// What is counted there.
    #[inline]
    pub(super) fn at(&mut self, TenantSlot(slot): TenantSlot) -> Option<&mut Traffic> {
        self.0.get_mut(usize::from(slot)).map(|(_, traffic)| traffic)
    }

    /// Each tenant that something was made for since the start.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantName, Traffic)> {
        self.0.iter().map(|(tenant, traffic)| (tenant, *traffic))
    }

    /// Adds that of another shard.
    pub(super) fn add(&mut self, other: &Self) {
        for (tenant, more) in &other.0 {
            let slot = self.slot(tenant);
            if let Some(traffic) = self.at(slot) {
                traffic.add(*more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_its_place_and_the_default_one_none() {
        let mut one = TenantTraffic::default();
        let [acme, beta] = ["acme", "beta"].map(|name| name.parse::<TenantName>().unwrap());
        assert_eq!(one.slot(&TenantName::default()), TenantSlot::NONE);
        let slots = [&acme, &beta, &acme].map(|tenant| one.slot(tenant));
        assert!(slots[0] == slots[2] && slots[0] != slots[1]);
        one.at(slots[0]).unwrap().count_to_peer(5);
        assert!(one.at(TenantSlot::NONE).is_none());
        let mut other = TenantTraffic::default();
        let slot = other.slot(&beta);
        other.at(slot).unwrap().count_to_client(7);
        one.add(&other);
        let bytes = |(tenant, of): (&TenantName, Traffic)| {
            (tenant.to_string(), of.bytes_to_peers, of.bytes_to_client)
        };
        let all: Vec<_> = one.iter().map(bytes).collect();
        assert_eq!(all, [("acme".into(), 5, 0), ("beta".into(), 0, 7)]);
    }

    #[test]
    fn names_that_come_and_go_do_not_make_it_grow_without_end() {
        let mut all = TenantTraffic::default();
        let slots: Vec<_> =
            (0..MOST + 9).map(|n| all.slot(&format!("t{n}").parse().unwrap())).collect();
        assert_eq!(all.0.len(), MOST);
        assert!(all.at(slots[MOST - 1]).is_some() && all.at(slots[MOST]).is_none());
    }
}
