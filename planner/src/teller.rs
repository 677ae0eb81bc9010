//! How a leadership answers somebody who asks it something: it knows nothing of whom it tells.

/// Whoever asks for a `T`.
pub struct Teller<T>(Box<dyn FnOnce(T) + Send>);

impl<T> Teller<T> {
    /// Told by `tell`.
    pub fn new(tell: impl FnOnce(T) + Send + 'static) -> Teller<T> {
        Teller(Box::new(tell))
    }

    /// Tells it.
    pub fn tell(self, answer: T) {
        (self.0)(answer);
    }
}

impl<T> std::fmt::Debug for Teller<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller")
    }
}
