//! What a handler makes of a run once, for all its shards in this process: they have the job in common, and so what is
//! read in it.

use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The place for it. One run has one handler.
#[derive(Debug, Default)]
pub(crate) struct Kept(OnceLock<Arc<dyn Any + Send + Sync>>);

#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "no other handler keeps anything")
)]
impl Kept {
    /// What is kept; made now if that is the first question. What cannot be made is not kept.
    ///
    /// # Errors
    /// What `make` says.
    pub(crate) fn or_make<T: Any + Send + Sync, E>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let found = self.0.get().cloned().map(Arc::downcast::<T>);
        if let Some(Ok(found)) = found {
            return Ok(found);
        }
        let made = Arc::new(make()?);
        // Whoever came first stays.
        let _ = self.0.set(Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_once_is_not_made_again_and_a_failure_is_not_kept() {
        let kept = Kept::default();
        assert_eq!(kept.or_make::<u32, _>(|| Err("no")), Err("no"));
        assert_eq!(kept.or_make(|| Ok::<_, ()>(7_u32)), Ok(Arc::new(7)));
        assert_eq!(kept.or_make::<u32, _>(|| Err(())), Ok(Arc::new(7)));
        // What somebody else has kept there is left alone.
        assert_eq!(kept.or_make(|| Ok::<_, ()>("text")), Ok(Arc::new("text")));
        assert_eq!(kept.or_make::<u32, _>(|| Err(())), Ok(Arc::new(7)));
    }
}
