use std::net::SocketAddr;

use crate::{Dice, Proxy};

/// A network between two processes that can fall silent: nobody is refused, nothing breaks, nothing arrives.
pub struct Wire {
    /// Where it is entered.
    pub address: SocketAddr,
    proxy: Proxy,
}

impl Wire {
    /// Carries whatever comes to an address of its own on to `to`.
    pub async fn to(to: SocketAddr) -> Self {
        let proxy = Proxy::to(to, Dice::fixed(0)).await;
        Self { address: proxy.address, proxy }
    }

    /// From here on nothing arrives, in either direction. What is on its way is kept.
    pub fn hold(&self) {
        self.proxy.apply("both hold");
    }

    /// Everything goes on, first of all what was kept.
    pub fn release(&self) {
        self.proxy.apply("both pass");
    }
}
