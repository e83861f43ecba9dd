//! Futures that never wait: flash in memory is always ready.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What `future` comes to, at once.
pub fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
