// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fault_kernel.h"

#include <cerrno>
#include <new>
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
    if (fails && faults_.moment == Faults::Moment::before) fail_step();
    real_->apply(step, false);
    if (fails) fail_step();
  }

  std::optional<bool> filters_bridged_frames(Family family) override { return real_->filters_bridged_frames(family); }
  kernel::Features features() override { return real_->features(); }
  std::vector<Route> routes(Family family) override { return real_->routes(family); }
  std::vector<IpAddress> local_addresses(Family family) override { return real_->local_addresses(family); }
  std::optional<FoundLink> host_link(const InterfaceName& name) override { return real_->host_link(name); }
  std::vector<Listener> listeners(Protocol protocol) override { return real_->listeners(protocol); }
  std::optional<std::string> holder_of(const Listener& listener) override { return real_->holder_of(listener); }
  PortRange ephemeral_ports() override { return real_->ephemeral_ports(); }
  NamespaceContents inspect_namespace(const std::string& path) override { return real_->inspect_namespace(path); }
  std::string machine_id() override { return real_->machine_id(); }
  std::uint32_t uplink_mtu() override { return real_->uplink_mtu(); }
  std::vector<std::string> following_uplinks() override { return real_->following_uplinks(); }
  std::optional<std::string> ipv6_obstacle() override { return real_->ipv6_obstacle(); }
  bool can_serve_names() override { return real_->can_serve_names(); }
  HostReport report(const ReportScope& scope) override { return real_->report(scope); }
  std::uint64_t namespace_cookie() override { return real_->namespace_cookie(); }

 private:
  [[noreturn]] void fail_step() const {
    if (faults_.out_of_memory) throw std::bad_alloc();
    fail(faults_.failed_step);
  }

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
