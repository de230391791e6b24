// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/session.h"

#include "netns/netns.h"

namespace mb::engine {
namespace {

store::World present_world() { return {netns::Namespace::current_cookie(), store::read_boot_id()}; }

std::shared_ptr<store::Store> open_store(const Setup& setup, store::Access access) {
  return store::Store::open(setup.state_dir, access, present_world(), setup.draw_state_id());
}

void begin(Session& session, const Setup& setup, std::shared_ptr<kernel::SpareNamespaces> spare) {
  session.view = std::make_unique<store::Store::View>(*session.store);
  const kernel::Config config{session.store->identity(), setup.state_dir,  setup.link_dir,
                              session.worker.get(),      std::move(spare), setup.name_servers};
  session.kernel = setup.make_kernel ? setup.make_kernel(config) : kernel::make_kernel(config);
}

}  // namespace

Session open_session(const Setup& setup, std::shared_ptr<store::Store>& kept, std::size_t new_namespaces) {
  Session session;
  session.worker = std::make_unique<netns::Worker>();
  auto spare = new_namespaces > 0 ? kernel::begin_namespaces(*session.worker, new_namespaces) : nullptr;
  session.lock = store::StateLock::take(setup.state_dir);
  session.store = kept && kept->is_current() ? kept : open_store(setup, store::Access::write);
  if (setup.keeps_state_open) kept = session.store;
  begin(session, setup, std::move(spare));
  return session;
}

Session open_session(const Setup& setup) {
  Session session;
  session.store = open_store(setup, store::Access::read);
  begin(session, setup, {});
  return session;
}

std::unique_ptr<store::Store> open_state(const Setup& setup) {
  return store::Store::open(setup.state_dir, store::Access::read, present_world(), setup.draw_state_id());
}

}  // namespace mb::engine
