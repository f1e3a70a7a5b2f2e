//! The forwarding database and VLANs, as control asks for them: page by page, since a whole
//! table at once would hold up all frames.

use actix::MailboxError;
use slog::info;
use tokio::task::yield_now;

use super::{Control, ControlError};
use crate::{
    core::{
        fdb::{FdbFilter, PortNumber},
        frame::{MacAddr, Vid},
    },
    message::{AddFdb, DelFdb, FdbInfo, FlushFdb, ListFdb, ListVlans, VlanInfo},
};

impl Control {
    /// Entries of the forwarding database, by VLAN and then address.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_fdb(&self, filter: FdbFilter) -> Result<Vec<FdbInfo>, ControlError> {
        let (mut pages, mut next) = (Vec::new(), Some(0));
        while let Some(page) = next {
            let got = self.switch.send(ListFdb { filter, page }).await?;
            pages.push(got.entries);
            next = got.next;
            // Or all pages would be had before the runtime looks for frames again.
            yield_now().await;
        }
        sorted(pages).await
    }

    /// Puts an address behind a port until it is deleted, or the port is.
    ///
    /// # Errors
    /// There is no such port, or no room.
    pub async fn add_fdb(
        &self,
        vid: Vid,
        mac: MacAddr,
        port: PortNumber,
    ) -> Result<FdbInfo, ControlError> {
        Ok(self.switch.send(AddFdb { vid, mac, port }).await??)
    }

    /// Deletes an entry of the forwarding database, and gives it as it was.
    ///
    /// # Errors
    /// There is no such entry.
    pub async fn del_fdb(&self, vid: Vid, mac: MacAddr) -> Result<FdbInfo, ControlError> {
        Ok(self.switch.send(DelFdb { vid, mac }).await??)
    }

    /// Forgets what was learned, of what `filter` takes, and static entries as well if `all`.
    /// Gives what was forgotten.
    ///
    /// # Errors
    /// There is no such port.
    pub async fn flush_fdb(
        &self,
        filter: FdbFilter,
        all: bool,
    ) -> Result<Vec<FdbInfo>, ControlError> {
        let (mut pages, mut next) = (Vec::new(), Some(0));
        while let Some(page) = next {
            let got = self.switch.send(FlushFdb { filter, all, page }).await??;
            pages.push(got.entries);
            next = got.next;
            yield_now().await;
        }
        let flushed = sorted(pages).await?;
        info!(self.log, "forwarding database is flushed"; "addresses" => flushed.len());
        Ok(flushed)
    }

    /// The VLANs that are in use, ascending, from `from` on: `limit` of them at most.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_vlans(&self, from: Vid, limit: usize) -> Result<Vec<VlanInfo>, ControlError> {
        let (mut vlans, mut next) = (Vec::new(), Some(from));
        while let Some(from) = next.filter(|_| vlans.len() < limit) {
            let page = self.switch.send(ListVlans { from }).await?;
            vlans.extend(page.vlans);
            next = page.next;
            yield_now().await;
        }
        vlans.truncate(limit);
        Ok(vlans)
    }
}

/// The entries of all pages by VLAN and then address. A full table is sorted on a thread
/// where no frame waits for it.
async fn sorted(pages: Vec<Vec<FdbInfo>>) -> Result<Vec<FdbInfo>, ControlError> {
    let sorted = actix_rt::task::spawn_blocking(move || {
        let mut entries = pages.concat();
        entries.sort_unstable_by_key(|entry| (entry.vid, entry.mac));
        entries
    });
    sorted.await.map_err(|_| ControlError::SwitchGone(MailboxError::Closed))
}
