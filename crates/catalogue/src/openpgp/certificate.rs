//! A key with its own signatures and its subkeys.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, PacketHeader, PublicKey, PublicSubkey, Signature, SignatureType, SubpacketData, UserId};
use pgp::types::{KeyDetails, Tag};

use super::packets::{PUBLIC_SUBKEY, RawPacket, SIGNATURE, USER_ATTRIBUTE, USER_ID};
use super::policy::{check_key, is_strong, is_strong_enough_for_self};
use super::{Fingerprint, Refusal};
use crate::time::Time;

/// A primary key and all that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) primary: PublicKey,
    bits: u16,
    /// The key's signatures of itself that do not name a user.
    direct: Vec<Signature>,
    users: Vec<User>,
    pub(super) subkeys: Vec<Subkey>,
}

#[derive(Clone, Debug)]
struct User {
    id: UserId,
    signatures: Vec<Signature>,
}

/// A subkey and the signatures that bind it.
#[derive(Clone, Debug)]
pub(super) struct Subkey {
    pub(super) fingerprint: Fingerprint,
    pub(super) key: PublicSubkey,
    bits: u16,
    signatures: Vec<Signature>,
}

/// The packet that signatures follow.
enum Place {
    Primary,
    User,
    Subkey,
    /// Ignored.
    Other,
}

impl Certificate {
    /// The certificate in these packets, which begin with its primary key.
    ///
    /// # Errors
    ///
    /// Why it cannot be used here.
    pub(super) fn read(packets: &[RawPacket<'_>]) -> Result<Self, &'static str> {
        let [first, rest @ ..] = packets else { return Err("there is no key") };
        let primary: PublicKey = read(first).ok_or("its primary key cannot be read")?;
        let fingerprint = fingerprint_of(&primary).ok_or("its version is not supported")?;
        let bits = first_bits(first.body);
        let (mut direct, mut users, mut subkeys) = (Vec::new(), Vec::<User>::new(), Vec::<Subkey>::new());
        let mut place = Place::Primary;
        for packet in rest {
            match packet.tag {
                USER_ID => match read(packet) {
                    Some(id) => {
                        users.push(User { id, signatures: Vec::new() });
                        place = Place::User;
                    }
                    None => place = Place::Other,
                },
                PUBLIC_SUBKEY => match read(packet).and_then(|key: PublicSubkey| Some((fingerprint_of(&key)?, key))) {
                    Some((fingerprint, key)) => {
                        let bits = first_bits(packet.body);
                        subkeys.push(Subkey { fingerprint, key, bits, signatures: Vec::new() });
                        place = Place::Subkey;
                    }
                    None => place = Place::Other,
                },
                USER_ATTRIBUTE => place = Place::Other,
                SIGNATURE => {
                    // Third parties' signatures may have any age and kind.
                    let Some(signature) = read(packet) else { continue };
                    match place {
                        Place::Primary => direct.push(signature),
                        Place::User => users.last_mut().map(|user| user.signatures.push(signature)).unwrap_or_default(),
                        Place::Subkey => {
                            subkeys.last_mut().map(|subkey| subkey.signatures.push(signature)).unwrap_or_default();
                        }
                        Place::Other => {}
                    }
                }
                _ => {}
            }
        }
        Ok(Self { fingerprint, primary, bits, direct, users, subkeys })
    }

    /// When the primary key was made.
    pub(super) fn made(&self) -> Time {
        seconds(self.primary.created_at().as_secs())
    }

    /// Whether the primary key may sign at `now`, or why not.
    pub(super) fn check_primary_signs(&self, now: Time) -> Result<(), Refusal> {
        self.check_primary(now)?;
        match self.flags(now) {
            Some(flags) if !flags.sign() => Err(self.unusable("it may not be used for signing")),
            _ => Ok(()),
        }
    }

    /// Whether `subkey` may sign at `now`, or why not.
    pub(super) fn check_subkey_signs(&self, subkey: &Subkey, now: Time) -> Result<(), Refusal> {
        let key = subkey.fingerprint;
        let unusable = |why| Refusal::KeyUnusable { key, why };
        self.check_primary(now)?;
        check_key(subkey.key.public_params(), subkey.bits).map_err(unusable)?;
        let is_bound = |signature: &&Signature| signature.verify_subkey_binding(&self.primary, &subkey.key).is_ok();
        // A revocation counts even with a weak digest: nobody gains by forging one.
        if self.with(&subkey.signatures, SignatureType::SubkeyRevocation).any(|signature| is_bound(&signature)) {
            return Err(Refusal::KeyRevoked { key });
        }
        let binding = self
            .with(&subkey.signatures, SignatureType::SubkeyBinding)
            .filter(|signature| signature.hash_alg().is_some_and(is_strong) && is_current(signature, now))
            .filter(is_bound)
            .max_by_key(|signature| made(signature))
            .ok_or_else(|| unusable("no valid signature binds it to its primary key"))?;
        if !flags(binding).is_none_or(KeyFlags::sign) {
            return Err(unusable("it may not be used for signing"));
        }
        // The subkey must have signed the primary key, or anybody could claim it.
        let claims = |signature: &Signature| {
            signature.hash_alg().is_some_and(is_strong)
                && signature.verify_primary_key_binding(&subkey.key, &self.primary).is_ok()
        };
        if !binding.embedded_signature().is_some_and(claims) {
            return Err(unusable("it has not signed its primary key"));
        }
        let key_made = u64::from(subkey.key.created_at().as_secs());
        match key_lifetime(binding).map(|lifetime| Time(key_made + lifetime)) {
            Some(at) if at <= now => Err(Refusal::KeyExpired { key, at }),
            _ => Ok(()),
        }
    }

    /// Whether the primary key is acceptable, and neither revoked nor expired.
    fn check_primary(&self, now: Time) -> Result<(), Refusal> {
        check_key(self.primary.public_params(), self.bits).map_err(|why| self.unusable(why))?;
        let revocations = self.with(&self.direct, SignatureType::KeyRevocation);
        if revocations.into_iter().any(|signature| signature.verify_key(&self.primary).is_ok()) {
            return Err(Refusal::KeyRevoked { key: self.fingerprint });
        }
        let certifications = self.certifications(now);
        let direct = self.direct_signatures(now);
        if certifications.is_empty() && direct.is_empty() {
            return Err(self.unusable("it has no valid signature of its own"));
        }
        // As in `gpgv`: a signature of the key itself precedes that of its newest user.
        let of = |signatures: &[&Signature]| {
            let with_lifetime = signatures.iter().filter(|signature| key_lifetime(signature).is_some());
            with_lifetime.max_by_key(|signature| made(signature)).and_then(|signature| key_lifetime(signature))
        };
        match of(&direct).or_else(|| of(&certifications)).map(|lifetime| Time(self.made().0 + lifetime)) {
            Some(at) if at <= now => Err(Refusal::KeyExpired { key: self.fingerprint, at }),
            _ => Ok(()),
        }
    }

    /// The allowed uses of the key, if stated.
    fn flags(&self, now: Time) -> Option<KeyFlags> {
        let direct = self.direct_signatures(now);
        let certifications = self.certifications(now);
        let newest =
            direct.iter().filter(|signature| flags(signature).is_some()).max_by_key(|signature| made(signature));
        let of_user = || certifications.iter().max_by_key(|signature| (signature.is_primary(), made(signature)));
        newest.or_else(of_user).and_then(|signature| flags(signature)).cloned()
    }

    /// The newest valid signature of each of its users, unless that is a revocation.
    fn certifications(&self, now: Time) -> Vec<&Signature> {
        let newest_of = |user: &'_ User| -> Option<usize> {
            let good = user.signatures.iter().enumerate().filter(|(_, signature)| {
                let is_about_user =
                    signature.is_certification() || signature.typ() == Some(SignatureType::CertRevocation);
                is_about_user
                    && self.is_by_primary(signature)
                    && signature.hash_alg().is_some_and(is_strong_enough_for_self)
                    && is_current(signature, now)
                    && signature.verify_certification(&self.primary, Tag::UserId, &user.id).is_ok()
            });
            good.max_by_key(|(_, signature)| made(signature)).map(|(index, _)| index)
        };
        let newest = self.users.iter().filter_map(|user| newest_of(user).map(|index| &user.signatures[index]));
        newest.filter(|signature| signature.is_certification()).collect()
    }

    /// The newest valid signature of the key itself, if any.
    fn direct_signatures(&self, now: Time) -> Vec<&Signature> {
        self.with(&self.direct, SignatureType::Key)
            .filter(|signature| signature.hash_alg().is_some_and(is_strong_enough_for_self))
            .filter(|signature| is_current(signature, now) && signature.verify_key(&self.primary).is_ok())
            .max_by_key(|signature| made(signature))
            .into_iter()
            .collect()
    }

    /// Those of `signatures` with this type that the primary key made.
    fn with<'a>(&'a self, signatures: &'a [Signature], kind: SignatureType) -> impl Iterator<Item = &'a Signature> {
        signatures.iter().filter(move |signature| signature.typ() == Some(kind) && self.is_by_primary(signature))
    }

    fn is_by_primary(&self, signature: &Signature) -> bool {
        // A valid one can only be the primary key's; this just avoids trying others'.
        let ids = signature.issuer_key_id();
        ids.is_empty() || ids.iter().any(|id| id.as_ref() == self.fingerprint.key_id())
    }

    fn unusable(&self, why: &'static str) -> Refusal {
        Refusal::KeyUnusable { key: self.fingerprint, why }
    }
}

impl Subkey {
    /// When it was made.
    pub(super) fn made(&self) -> Time {
        seconds(self.key.created_at().as_secs())
    }
}

/// The parsed content of a packet.
pub(super) trait Content: Sized {
    fn parse(header: PacketHeader, body: &mut &[u8]) -> pgp::errors::Result<Self>;
}

impl Content for PublicKey {
    fn parse(header: PacketHeader, body: &mut &[u8]) -> pgp::errors::Result<Self> {
        Self::try_from_reader(header, body)
    }
}

impl Content for PublicSubkey {
    fn parse(header: PacketHeader, body: &mut &[u8]) -> pgp::errors::Result<Self> {
        Self::try_from_reader(header, body)
    }
}

impl Content for UserId {
    fn parse(header: PacketHeader, body: &mut &[u8]) -> pgp::errors::Result<Self> {
        Self::try_from_reader(header, body)
    }
}

impl Content for Signature {
    fn parse(header: PacketHeader, body: &mut &[u8]) -> pgp::errors::Result<Self> {
        Self::try_from_reader(header, body)
    }
}

/// The parsed content of the packet, if nothing is left over.
pub(super) fn read<T: Content>(packet: &RawPacket<'_>) -> Option<T> {
    let header = PacketHeader::try_from_reader(packet.header).ok()?;
    let mut body = packet.body;
    let content = T::parse(header, &mut body).ok()?;
    body.is_empty().then_some(content)
}

fn fingerprint_of(key: &impl KeyDetails) -> Option<Fingerprint> {
    super::keyring::fingerprint(&key.fingerprint())
}

/// The length in bits of the first number in a key packet of version 4.
fn first_bits(body: &[u8]) -> u16 {
    body.get(6..8).map_or(0, |bits| u16::from_be_bytes([bits[0], bits[1]]))
}

fn flags(signature: &Signature) -> Option<&KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|subpacket| match &subpacket.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

/// For how many seconds after its creation the key is valid.
fn key_lifetime(signature: &Signature) -> Option<u64> {
    signature.key_expiration_time().map(|lifetime| u64::from(lifetime.as_secs())).filter(|lifetime| *lifetime != 0)
}

/// When a signature was made.
pub(super) fn made(signature: &Signature) -> Option<Time> {
    signature.created().map(|made| seconds(made.as_secs()))
}

/// When a signature expires.
pub(super) fn expiry(signature: &Signature) -> Option<Time> {
    let lifetime = u64::from(signature.signature_expiration_time()?.as_secs());
    made(signature).filter(|_| lifetime != 0).map(|made| Time(made.0 + lifetime))
}

fn is_current(signature: &Signature, now: Time) -> bool {
    made(signature).is_some_and(|made| made <= now) && expiry(signature).is_none_or(|expiry| expiry > now)
}

fn seconds(seconds: u32) -> Time {
    Time(u64::from(seconds))
}

/// The name of a signature's digest.
pub(super) fn hash_name(hash: HashAlgorithm) -> String {
    match hash {
        HashAlgorithm::Other(number) => format!("number {number}"),
        known => known.to_string(),
    }
}
