// SPDX-License-Identifier: GPL-2.0-or-later
//
// One passage through the pipe: the lock, the state and the kernel, opened together.
#pragma once

#include <memory>
#include <optional>

#include "src/engine/engine.h"
#include "src/kernel/kernel.h"
#include "src/store/lock.h"
#include "src/store/store.h"

namespace mb::engine {

struct Session {
  std::optional<store::StateLock> lock;  // none when only looking
  std::unique_ptr<store::Store> store;
  std::unique_ptr<kernel::Kernel> kernel;
};

// `spare` as in kernel::Config.
Session open_session(const Setup& setup, store::Access access, std::shared_ptr<kernel::SpareNamespace> spare = {});

// The state alone, for verbs that only look.
std::unique_ptr<store::Store> open_state(const Setup& setup);

}  // namespace mb::engine
