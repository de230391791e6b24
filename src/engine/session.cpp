// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/session.h"

#include "netns/netns.h"

namespace mb::engine {
namespace {

store::World present_world() { return {netns::Namespace::current_cookie(), store::read_boot_id()}; }

}  // namespace

Session open_session(const Setup& setup, store::Access access, std::shared_ptr<kernel::SpareNamespace> spare) {
  Session session;
  if (access == store::Access::write) session.lock = store::StateLock::take(setup.state_dir);
  session.store = store::Store::open(setup.state_dir, access, present_world(), setup.draw_state_id());
  const kernel::Config config{session.store->identity(), setup.state_dir, setup.link_dir, std::move(spare)};
  session.kernel = setup.make_kernel ? setup.make_kernel(config) : kernel::make_kernel(config);
  return session;
}

std::unique_ptr<store::Store> open_state(const Setup& setup) {
  return store::Store::open(setup.state_dir, store::Access::read, present_world(), setup.draw_state_id());
}

}  // namespace mb::engine
