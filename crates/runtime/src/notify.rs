//! What systemd is told of a service of `Type=notify` (sd_notify(3)); where it did not start the
//! process, nothing is told.
//!
//! Must not know what is checked before a role is ready.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::ops::Checks;

/// All roles are ready.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// The process still opens what it needs: systemd waits so much longer for it to be ready, whatever its
/// `TimeoutStartSec=`.
pub fn opening(longer: Duration) {
    let longer = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(longer), NotifyState::Status("opening the store")]);
}

/// The process stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is begun")]);
}

/// Says that the process lives, oftener than systemd wants to hear it (`WatchdogSec=`), while its
/// probe for that is good; returns at once where nobody listens.
pub async fn watchdog(checks: Checks) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
    else {
        return;
    };
    // Half of it is what sd_watchdog_enabled(3) recommends; one time that is passed over, such as
    // right after the whole machine stood still, must not end the process.
    let mut tick = tokio::time::interval((patience / 4).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        if checks.probe("/livez", None).is_some_and(|(status, _)| status.is_success()) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
