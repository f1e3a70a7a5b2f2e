//! VLANs of a port: which VLAN a frame gets where it comes in, and which tag it has where it
//! leaves (IEEE 802.1Q, 6.9, 8.6.2, 8.6.4).
//!
//! Within the switch a frame of a VLAN has the VLAN's customer tag outermost, and one without a
//! VLAN (of *VLAN 0*) has none. So all else reads the VLAN in the frame itself: the relay, the
//! forwarding database, captures. Only ports translate, and only those that have settings for
//! it: others carry every frame as it is.

use crate::core::{
    counters::Discard,
    frame::{Frame, Vid},
    packet::{Ethernet, HEADER_LEN, TAG_LEN, TPID_CVLAN, Tag, TagChange},
    settings::{Accept, PortSettings, PriorityTags, Pvid, Tpid, VidSet, VlanId, VlanMode},
};

/// Settings for VLANs that contradict each other. Says what to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VlanError {
    /// The mode is about one VLAN.
    #[error("vlan-mode {0} needs the VLAN: set tag to 1 to 4094")]
    NoTag(VlanMode),
    /// A trunk has no VLAN for untagged frames.
    #[error(
        "vlan-mode trunk has no tag; native-untagged and native-tagged are trunks whose untagged \
         frames are of the VLAN tag"
    )]
    Tag,
    /// The mode is not about several VLANs.
    #[error(
        "vlan-mode {0} has no trunks; native-untagged is a port with one untagged VLAN and trunks"
    )]
    Trunks(VlanMode),
    /// What an untagged frame is cannot be told.
    #[error("tag and trunks together need a vlan-mode: native-untagged or native-tagged")]
    NoMode,
    /// The same.
    #[error("trunks cannot have 0 with vlan-mode {0}: untagged frames are of the VLAN tag")]
    Zero(VlanMode),
}

/// What a port with settings for VLANs makes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortVlans {
    /// How it tells VLANs on its wire.
    tpid: Tpid,
    /// Whether every tag that comes in is payload.
    is_tunnel: bool,
    /// VLAN of untagged frames, 0 where those have none.
    pvid: Option<Vid>,
    tagged: VidSet,
    untagged: VidSet,
    accept: Accept,
    is_strict: bool,
    priority_tags: PriorityTags,
    /// VLANs that its settings name, and do not just mean with all others.
    named: VidSet,
}

/// The VLANs that a mode gives a port.
struct Base {
    pvid: Option<Vid>,
    tagged: VidSet,
    untagged: VidSet,
    accept: Accept,
    is_tunnel: bool,
}

impl Base {
    fn of(settings: &PortSettings) -> Result<Self, VlanError> {
        let tag = settings.tag.map(VlanId::vid);
        let general =
            settings.pvid.is_some() || settings.tagged.is_some() || settings.untagged.is_some();
        let mode = match (settings.vlan_mode, tag, &settings.trunks) {
            (Some(mode), ..) => mode,
            (None, Some(_), Some(_)) => return Err(VlanError::NoMode),
            (None, Some(_), None) => VlanMode::Access,
            (None, None, Some(_)) => VlanMode::Trunk,
            (None, None, None) if general => return Ok(Self::trunk(VidSet::default())),
            (None, None, None) => VlanMode::Trunk,
        };
        let tag = || tag.ok_or(VlanError::NoTag(mode));
        let trunks = || match &settings.trunks {
            Some(trunks) if trunks.contains(Vid::UNTAGGED) => Err(VlanError::Zero(mode)),
            Some(trunks) => Ok(trunks.clone()),
            None => Ok(VidSet::tagged()),
        };
        let base = match mode {
            VlanMode::Access | VlanMode::Dot1qTunnel => {
                if settings.trunks.is_some() {
                    return Err(VlanError::Trunks(mode));
                }
                let (vid, is_tunnel) = (tag()?, mode == VlanMode::Dot1qTunnel);
                Self {
                    pvid: Some(vid),
                    untagged: VidSet::default().with(vid),
                    accept: if is_tunnel { Accept::All } else { Accept::Untagged },
                    is_tunnel,
                    ..Self::trunk(VidSet::default())
                }
            }
            VlanMode::Trunk if settings.tag.is_some() => return Err(VlanError::Tag),
            VlanMode::Trunk => {
                let all = || VidSet::tagged().with(Vid::UNTAGGED);
                Self::trunk(settings.trunks.clone().unwrap_or_else(all))
            }
            VlanMode::NativeTagged => {
                let vid = tag()?;
                Self { pvid: Some(vid), ..Self::trunk(trunks()?.with(vid)) }
            }
            VlanMode::NativeUntagged => {
                let vid = tag()?;
                let untagged = VidSet::default().with(vid);
                Self { pvid: Some(vid), untagged, ..Self::trunk(trunks()?.without(vid)) }
            }
        };
        Ok(base)
    }

    /// A trunk of these VLANs; untagged frames have none.
    fn trunk(tagged: VidSet) -> Self {
        let has_untagged = tagged.contains(Vid::UNTAGGED);
        Self {
            pvid: has_untagged.then_some(Vid::UNTAGGED),
            tagged,
            untagged: VidSet::default(),
            accept: Accept::All,
            is_tunnel: false,
        }
    }
}

impl PortVlans {
    /// What settings make of a port; `None` where they say nothing of VLANs.
    ///
    /// # Errors
    /// They contradict each other.
    pub fn new(settings: &PortSettings) -> Result<Option<Self>, VlanError> {
        let PortSettings { vlan_mode, tag, trunks, accept, pvid, tagged, untagged, .. } = settings;
        let is_said = vlan_mode.is_some()
            || tag.is_some()
            || trunks.is_some()
            || accept.is_some()
            || pvid.is_some()
            || tagged.is_some()
            || untagged.is_some();
        let (tpid, is_strict) = (settings.tpid(), settings.native_strict());
        let priority_tags = settings.priority_tags();
        let is_plain = tpid == Tpid::Customer && !is_strict && priority_tags == PriorityTags::Never;
        if !is_said && is_plain {
            return Ok(None);
        }
        let base = Base::of(settings)?;
        let tagged = tagged.clone().unwrap_or(base.tagged);
        let mut untagged = untagged.clone().unwrap_or(base.untagged);
        let native = base.pvid.filter(|vid| *vid != Vid::UNTAGGED);
        let carries_untagged = [&tagged, &untagged].iter().any(|set| set.contains(Vid::UNTAGGED));
        let pvid = match pvid {
            None => native.or_else(|| carries_untagged.then_some(Vid::UNTAGGED)),
            Some(Pvid::None) => None,
            Some(Pvid::Vlan(vlan)) => Some(vlan.vid()),
        };
        // One key sets both: an untagged VLAN that only comes in is what nobody wants.
        if let Some(vid) = pvid
            && !tagged.contains(vid)
        {
            untagged = untagged.with(vid);
        }
        let all = [&settings.trunks, &settings.tagged, &settings.untagged];
        let is_all = |list: &VidSet| list.clone().without(Vid::UNTAGGED) == VidSet::tagged();
        let lists = all.into_iter().flatten().filter(|list| !is_all(list));
        let one = settings.tag.map(VlanId::vid).or(pvid);
        let named = lists.flat_map(VidSet::iter).chain(one).fold(VidSet::default(), VidSet::with);
        Ok(Some(Self {
            named,
            tpid,
            is_tunnel: base.is_tunnel,
            pvid,
            tagged,
            untagged,
            accept: accept.unwrap_or(base.accept),
            is_strict,
            priority_tags,
        }))
    }

    /// A port that is in no VLAN.
    #[must_use]
    pub fn none() -> Self {
        let Base { pvid, tagged, untagged, accept, is_tunnel } = Base::trunk(VidSet::default());
        let (tpid, priority_tags) = (Tpid::Customer, PriorityTags::Never);
        Self {
            tpid,
            is_tunnel,
            pvid,
            tagged,
            untagged,
            accept,
            is_strict: false,
            priority_tags,
            named: VidSet::default(),
        }
    }

    /// VLAN of frames that come in untagged; 0 where they have none and are let in.
    #[must_use]
    pub const fn pvid(&self) -> Option<Vid> {
        self.pvid
    }

    /// Whether it is in the member set of a VLAN (IEEE 802.1Q, 8.8.10).
    #[inline]
    #[must_use]
    pub fn is_member(&self, vid: Vid) -> bool {
        self.tagged.contains(vid) || self.untagged.contains(vid)
    }

    /// Whether a VLAN leaves it untagged.
    #[inline]
    #[must_use]
    pub fn is_untagged(&self, vid: Vid) -> bool {
        self.untagged.contains(vid)
    }

    /// Whether its settings name a VLAN: a trunk of all names none.
    #[must_use]
    pub fn names(&self, vid: Vid) -> bool {
        self.named.contains(vid)
    }

    /// The first VLAN that it is a member of behind `vid`, from the beginning again behind the
    /// last one.
    #[must_use]
    pub fn next(&self, vid: Vid) -> Option<Vid> {
        let all = || (0..4095).filter_map(Vid::new);
        all().filter(|one| *one > vid).chain(all()).find(|one| self.is_member(*one))
    }

    /// What is to be done with the tag of a frame that comes in, so that it is of its VLAN.
    ///
    /// # Errors
    /// The reason for which the frame does not come in.
    pub fn ingress(&self, frame: &Frame) -> Result<TagChange, Discard> {
        let header = frame.header().ok_or(Discard::OnError)?;
        let tag = header.tag();
        let own = tag.filter(|tag| !self.is_tunnel && tag.tpid() == self.tpid.get());
        if let Some(tag) = own
            && tag.vid() != Vid::UNTAGGED
        {
            let is_native = self.is_strict && self.pvid == Some(tag.vid());
            return if self.accept == Accept::Untagged || is_native {
                Err(Discard::VlanAccept)
            } else if !self.is_member(tag.vid()) {
                Err(Discard::VlanIngress)
            } else if self.tpid == Tpid::Customer {
                Ok(TagChange::None)
            } else {
                Ok(TagChange::Replace(tag.moved(TPID_CVLAN, tag.vid())))
            };
        }
        // Tags that stay when the one of its VLAN goes again. Where it leaves without that, the
        // next switch takes them for its VLAN: so hosts get from one VLAN into another.
        let has_more = tags(frame, header) > usize::from(own.is_some());
        let is_refused = match self.accept {
            // A tunnel's frames are of its VLAN with their tags.
            Accept::Tagged => !(self.is_tunnel && has_more),
            Accept::Untagged => has_more,
            Accept::All => self.is_strict && has_more && !self.is_tunnel,
        };
        if is_refused {
            return Err(Discard::VlanAccept);
        }
        let vid = self.pvid.filter(|vid| self.is_member(*vid)).ok_or(Discard::VlanIngress)?;
        if vid == Vid::UNTAGGED {
            // Another type of tag: within the switch it would be a VLAN.
            return if header.vid() == vid {
                Ok(TagChange::None)
            } else {
                Err(Discard::VlanIngress)
            };
        }
        Ok(match own {
            Some(tag) => TagChange::Replace(tag.moved(TPID_CVLAN, vid)),
            None => TagChange::Push(Tag::customer(vid.get())),
        })
    }

    /// What is to be done with the tag of a frame that leaves.
    ///
    /// # Errors
    /// The port is no member of its VLAN.
    pub fn egress(&self, frame: &Frame) -> Result<TagChange, Discard> {
        let header = frame.header().ok_or(Discard::OnError)?;
        let (vid, tag) = (header.vid(), header.tag());
        if !self.is_member(vid) {
            return Err(Discard::VlanEgress);
        }
        let Some(tag) = tag.filter(|_| vid != Vid::UNTAGGED) else {
            // On this wire a tag that is payload here would be a VLAN.
            let is_vlan = |tag: Tag| tag.tpid() == self.tpid.get() && tag.vid() != vid;
            let is_changed = tag.is_some_and(is_vlan);
            return if is_changed { Err(Discard::VlanEgress) } else { Ok(TagChange::None) };
        };
        if self.is_untagged(vid) {
            if self.is_strict && tags(frame, header) > 1 {
                return Err(Discard::VlanEgress);
            }
            let keeps_priority = match self.priority_tags {
                PriorityTags::Never => false,
                PriorityTags::IfNonzero => tag.pcp() != 0,
                PriorityTags::Always => true,
            };
            let priority = TagChange::Replace(tag.moved(self.tpid.get(), Vid::UNTAGGED));
            return Ok(if keeps_priority { priority } else { TagChange::Pop });
        }
        Ok(match self.tpid {
            Tpid::Customer => TagChange::None,
            Tpid::Service => TagChange::Replace(tag.moved(self.tpid.get(), vid)),
        })
    }
}

/// How many tags a frame has.
fn tags(frame: &Frame, header: Ethernet<'_>) -> usize {
    (frame.len() - header.payload().len() - HEADER_LEN) / TAG_LEN
}

#[cfg(test)]
mod tests;
