// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real kernel with faults: a decorator that counts the steps and fails those it is told to.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/engine/engine.h"
#include "src/kernel/kernel.h"

namespace mb::test {

/// What is to go wrong, and what happened. Shared by all kernels that one Faults has made, so it counts across verbs;
/// begin() starts anew.
class Faults {
 public:
  enum class Moment { before, after };  // the step fails without having happened, or although it happened

  void begin() { *this = Faults(); }

  std::optional<std::size_t> fail_step;  ///< the k-th apply that is not an undo, from 0
  Moment moment = Moment::before;
  bool out_of_memory = false;               ///< it fails with std::bad_alloc
  std::optional<std::size_t> fail_undo;     ///< the k-th undo, from 0 …
  bool fail_every_undo = false;             ///< … or all of them
  std::optional<std::size_t> fail_observe;  ///< the k-th look at the kernel, from 0

  std::size_t steps = 0;
  std::size_t undos = 0;
  std::size_t observations = 0;
  std::size_t failed_undos = 0;
  std::string failed_step;  ///< in words, once it has failed

  /// For engine::Setup::make_kernel. `faults` must outlive the kernels.
  static std::function<std::unique_ptr<kernel::Kernel>(const kernel::Config&)> into(Faults& faults);
};

}  // namespace mb::test
