// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fault_kernel.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::test {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::failed, fmt::format("cannot {}: broken on purpose (EIO)", what), {}, EIO);
}

class FaultyKernel final : public kernel::Kernel {
 public:
  FaultyKernel(std::unique_ptr<Kernel> real, Faults& faults) : real_(std::move(real)), faults_(faults) {}

  Actual observe(const Scope& scope) override {
    if (faults_.fail_observe == faults_.observations++) fail("look at the kernel");
    return real_->observe(scope);
  }

  void apply(const Step& step, bool undoing) override {
    if (undoing) {
      apply_undo(step);
      return;
    }
    const bool fails = faults_.fail_step == faults_.steps++;
    if (fails) faults_.failed_step = print(step);
    if (fails && faults_.moment == Faults::Moment::before) fail(faults_.failed_step);
    real_->apply(step, false);
    if (fails) fail(faults_.failed_step);
  }

  kernel::Features features() override { return real_->features(); }
  std::vector<Route> routes(Family family) override { return real_->routes(family); }
  std::vector<IpAddress> local_addresses(Family family) override { return real_->local_addresses(family); }
  std::vector<Listener> listeners(Protocol protocol) override { return real_->listeners(protocol); }
  std::optional<std::string> holder_of(const Listener& listener) override { return real_->holder_of(listener); }
  PortRange ephemeral_ports() override { return real_->ephemeral_ports(); }
  NamespaceContents inspect_namespace(const std::string& path) override { return real_->inspect_namespace(path); }
  std::uint64_t namespace_cookie() override { return real_->namespace_cookie(); }

 private:
  void apply_undo(const Step& step) {
    const bool fails = faults_.fail_every_undo || faults_.fail_undo == faults_.undos;
    ++faults_.undos;
    if (!fails) {
      real_->apply(step, true);
      return;
    }
    ++faults_.failed_undos;
    fail("undo: " + print(step));
  }

  std::unique_ptr<Kernel> real_;
  Faults& faults_;
};

}  // namespace

std::function<std::unique_ptr<kernel::Kernel>(const kernel::Config&)> Faults::into(Faults& faults) {
  return [&faults](const kernel::Config& config) -> std::unique_ptr<kernel::Kernel> {
    return std::make_unique<FaultyKernel>(kernel::make_kernel(config), faults);
  };
}

}  // namespace mb::test
