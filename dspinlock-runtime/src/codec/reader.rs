//! The wire beneath serde: one value's beginning after another, with what bounds the work that hostile bytes can cause.
//!
//! Nothing here is generic, so that it is compiled once and not for every type that is kept.

use rmp::Marker;

use super::{MAX_DEPTH, NESTED_NIL, NIL, Undecodable};

/// A map of one pair, which a variant that carries something is.
const PAIR: u8 = 0x81;

/// What a value begins with; one that has no parts is all there.
pub(super) enum Head<'de> {
    Nil,
    /// A `Some`, of which the value is next: a nil or one more `Some` of a nil.
    Some,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Str(&'de str),
    Bin(&'de [u8]),
    Array(usize),
    Map(usize),
}

/// Reads values off some bytes.
pub(super) struct Reader<'de> {
    unread: &'de [u8],
    /// How many values the compounds that are being read have announced and not begun. Each takes a byte at least, so
    /// that all the lengths announced at one time together are no more than there are bytes.
    owed: usize,
    /// How many compounds may still be opened inside the present one.
    room: usize,
    /// How many `Some` there were since the last byte was read: a type that is an `Option` of itself takes none.
    somes: usize,
    /// How many `Some` of the nested nil ahead have been handed out.
    opened: u8,
    /// How many `Some` of nested nils may still be handed out: three bytes announce a hundred, and each may be a box.
    nested: usize,
    /// The next value, where it is a byte of a `Bin` that is read as a sequence.
    byte: Option<u8>,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self {
            unread: bytes,
            owed: 0,
            room: MAX_DEPTH,
            somes: 0,
            opened: 0,
            nested: bytes.len() + MAX_DEPTH,
            byte: None,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.unread.is_empty()
    }

    /// Goes into a compound.
    pub(super) fn enter(&mut self) -> Result<(), Undecodable> {
        self.room = self.room.checked_sub(1).ok_or(Undecodable)?;
        Ok(())
    }

    /// Comes out of a compound.
    pub(super) fn leave(&mut self) {
        self.room += 1;
    }

    /// Begins a value that a compound has announced.
    pub(super) fn begin(&mut self) {
        // Only a visitor that takes more values than there are gets below zero.
        self.owed = self.owed.saturating_sub(1);
    }

    /// Makes a byte of a `Bin` the next value, for types that write bytes and read a sequence.
    pub(super) fn begin_byte(&mut self, byte: u8) {
        self.byte = Some(byte);
    }

    /// Whether an `Option` is a `Some`, of which the value is next; a `None` is taken away.
    pub(super) fn is_some(&mut self) -> Result<bool, Undecodable> {
        self.somes += 1;
        if self.somes > MAX_DEPTH {
            return Err(Undecodable);
        }
        match *self.unread {
            _ if self.byte.is_some() => Ok(true),
            [NIL, ref rest @ ..] => {
                self.consume(rest);
                Ok(false)
            }
            [marker, kind, somes, ref rest @ ..] if [marker, kind] == NESTED_NIL => {
                let is_some = self.opened < somes;
                if is_some {
                    self.nested = self.nested.checked_sub(1).ok_or(Undecodable)?;
                    self.opened += 1;
                } else {
                    self.opened = 0;
                    self.consume(rest);
                }
                Ok(is_some)
            }
            _ => Ok(true),
        }
    }

    /// Whether an enum's variant carries something: its name is next, and then what it carries.
    pub(super) fn is_pair(&mut self) -> bool {
        match *self.unread {
            [PAIR, ref rest @ ..] if self.byte.is_none() => {
                self.consume(rest);
                // What it carries; the name is begun with the variant.
                self.owed += 1;
                true
            }
            _ => false,
        }
    }

    /// What the next value begins with; the parts of a compound are next.
    #[inline(never)]
    pub(super) fn head(&mut self) -> Result<Head<'de>, Undecodable> {
        if let Some(byte) = self.byte.take() {
            return Ok(Head::Unsigned(byte.into()));
        }
        if self.unread.starts_with(&NESTED_NIL) {
            return Ok(if self.is_some()? { Head::Some } else { Head::Nil });
        }
        let [marker] = self.array()?;
        match Marker::from_u8(marker) {
            Marker::Null => Ok(Head::Nil),
            Marker::False => Ok(Head::Bool(false)),
            Marker::True => Ok(Head::Bool(true)),
            Marker::FixPos(number) => Ok(Head::Unsigned(number.into())),
            Marker::FixNeg(number) => Ok(Head::Signed(number.into())),
            Marker::U8 => Ok(Head::Unsigned(u8::from_be_bytes(self.array()?).into())),
            Marker::U16 => Ok(Head::Unsigned(u16::from_be_bytes(self.array()?).into())),
            Marker::U32 => Ok(Head::Unsigned(u32::from_be_bytes(self.array()?).into())),
            Marker::U64 => Ok(Head::Unsigned(u64::from_be_bytes(self.array()?))),
            Marker::I8 => Ok(Head::Signed(i8::from_be_bytes(self.array()?).into())),
            Marker::I16 => Ok(Head::Signed(i16::from_be_bytes(self.array()?).into())),
            Marker::I32 => Ok(Head::Signed(i32::from_be_bytes(self.array()?).into())),
            Marker::I64 => Ok(Head::Signed(i64::from_be_bytes(self.array()?))),
            Marker::F32 => Ok(Head::F32(f32::from_be_bytes(self.array()?))),
            Marker::F64 => Ok(Head::F64(f64::from_be_bytes(self.array()?))),
            Marker::FixStr(len) => self.str(len.into()),
            Marker::Str8 => self.length8().and_then(|len| self.str(len)),
            Marker::Str16 => self.length16().and_then(|len| self.str(len)),
            Marker::Str32 => self.length32().and_then(|len| self.str(len)),
            Marker::Bin8 => self.length8().and_then(|len| self.bin(len)),
            Marker::Bin16 => self.length16().and_then(|len| self.bin(len)),
            Marker::Bin32 => self.length32().and_then(|len| self.bin(len)),
            Marker::FixArray(len) => self.compound(len.into(), 1),
            Marker::Array16 => self.length16().and_then(|len| self.compound(len, 1)),
            Marker::Array32 => self.length32().and_then(|len| self.compound(len, 1)),
            Marker::FixMap(len) => self.compound(len.into(), 2),
            Marker::Map16 => self.length16().and_then(|len| self.compound(len, 2)),
            Marker::Map32 => self.length32().and_then(|len| self.compound(len, 2)),
            // Extensions, of which we write only the nested nil, and the marker that is never used.
            _ => Err(Undecodable),
        }
    }

    /// Takes away a whole value, however deep.
    pub(super) fn skip(&mut self) -> Result<(), Undecodable> {
        let mut left = 1_usize;
        while left > 0 {
            match self.head()? {
                Head::Some => continue,
                // What is in it counts as begun: the lengths of one value are no more than there are bytes either.
                Head::Array(len) => left += self.settle(len),
                Head::Map(len) => left += self.settle(2 * len),
                _ => {}
            }
            left -= 1;
        }
        Ok(())
    }

    fn settle(&mut self, values: usize) -> usize {
        self.owed -= values;
        values
    }

    fn consume(&mut self, rest: &'de [u8]) {
        self.unread = rest;
        self.somes = 0;
    }

    fn take(&mut self, len: usize) -> Result<&'de [u8], Undecodable> {
        let (taken, rest) = self.unread.split_at_checked(len).ok_or(Undecodable)?;
        self.consume(rest);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.unread.split_first_chunk().ok_or(Undecodable)?;
        self.consume(rest);
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, Undecodable> {
        self.array().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    fn length16(&mut self) -> Result<usize, Undecodable> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn length32(&mut self) -> Result<usize, Undecodable> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| Undecodable)
    }

    fn str(&mut self, len: usize) -> Result<Head<'de>, Undecodable> {
        let text = str::from_utf8(self.take(len)?).map_err(|_| Undecodable)?;
        Ok(Head::Str(text))
    }

    fn bin(&mut self, len: usize) -> Result<Head<'de>, Undecodable> {
        self.take(len).map(Head::Bin)
    }

    /// An array, of which each element is one value, or a map, of which each pair is two.
    fn compound(&mut self, len: usize, values_each: usize) -> Result<Head<'de>, Undecodable> {
        let values = len.checked_mul(values_each).ok_or(Undecodable)?;
        let owed = self.owed.checked_add(values).ok_or(Undecodable)?;
        if owed > self.unread.len() {
            return Err(Undecodable);
        }
        self.owed = owed;
        Ok(if values_each == 1 {
            Head::Array(len)
        } else {
            Head::Map(len)
        })
    }
}
