//! The proxies between the parts of a rig.
//!
//! Must not know what they are for.

use std::net::SocketAddr;

use crate::proxy::Proxy;
use crate::rig::Role;

/// What lies between the parts.
#[derive(Debug)]
pub struct Links {
    /// From each gateway to the broker.
    pub gateways: Vec<Proxy>,
    /// From all workers to the broker.
    pub workers: Proxy,
    /// From admin to the broker.
    pub admin: Proxy,
    /// From clients to each gateway.
    pub fronts: Vec<Proxy>,
}

impl Links {
    pub(crate) async fn start(broker: SocketAddr, gateways: usize) -> anyhow::Result<Self> {
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for _ in 0..gateways {
            behind.push(Proxy::start(broker).await?);
            // Aimed once the gateway has an address.
            before.push(Proxy::start(broker).await?);
        }
        Ok(Self {
            gateways: behind,
            workers: Proxy::start(broker).await?,
            admin: Proxy::start(broker).await?,
            fronts: before,
        })
    }

    pub(crate) fn broker_of(&self, role: Role) -> String {
        let proxy = match role {
            Role::Admin => &self.admin,
            Role::Gateway(n) => &self.gateways[n],
            Role::Worker(_) => &self.workers,
        };
        format!("nats://{}", proxy.address())
    }
}
