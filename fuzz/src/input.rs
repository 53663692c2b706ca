//! Reads the choices of a structured input from its first bytes.

/// What is left of an input.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    /// Takes a number below 256.
    pub(crate) fn byte(&mut self) -> Option<usize> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first.into())
    }

    /// Takes a number below 65,536.
    pub(crate) fn number(&mut self) -> Option<usize> {
        Some(self.byte()? | self.byte()? << 8)
    }

    /// Takes up to 7 numbers, and splits the rest at those positions.
    pub(crate) fn pieces(mut self) -> Option<Vec<&'a [u8]>> {
        let count = self.byte()? % 8;
        let cuts: Option<Vec<usize>> = (0..count).map(|_| self.number()).collect();
        let mut ends: Vec<usize> = cuts?.iter().map(|cut| cut % (self.0.len() + 1)).collect();
        ends.push(self.0.len());
        ends.sort_unstable();
        let mut start = 0;
        let piece = |end| {
            let piece = &self.0[start..end];
            start = end;
            piece
        };
        Some(ends.into_iter().map(piece).filter(|piece| !piece.is_empty()).collect())
    }
}
