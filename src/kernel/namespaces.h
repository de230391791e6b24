// SPDX-License-Identifier: GPL-2.0-or-later
//
// The network namespaces of containers: pinned at STATE/netns/ID, named for `ip netns` by symlinks, and reached
// through netlink sockets opened inside.
//
// Promises: a symlink is only ever replaced or removed when it points to a pin of ours; a pin that fails leaves nothing behind.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netns/namespace.h"
#include "src/kernel/netlink.h"
#include "src/model/kernel_state.h"

namespace mb::kernel {

struct NamespaceInTheMaking;

// An open namespace and a route socket in it.
class Inside {
 public:
  explicit Inside(netns::Namespace opened);
  Inside(netns::Namespace made, Socket socket) : handle_(std::move(made)), route_(std::move(socket)) {}
  // One whose socket is still to come.
  Inside(netns::Namespace made, std::shared_ptr<NamespaceInTheMaking> coming)
      : handle_(std::move(made)), coming_(std::move(coming)) {}

  const netns::Namespace& handle() const { return handle_; }
  // Throws what opening it threw.
  Socket& route();

 private:
  netns::Namespace handle_;
  std::optional<Socket> route_;
  std::shared_ptr<NamespaceInTheMaking> coming_;
};

// New namespaces with lo up, each made while its owner goes on. One that is not taken is gone without a trace.
class SpareNamespaces {
 public:
  // `count`: so many will be asked for, most likely. The worker must outlive this.
  SpareNamespaces(netns::Worker& worker, std::size_t count);

  // Waits for it; throws what making it threw. The next one is begun, if it is wanted.
  Inside take();

 private:
  void begin_next();

  netns::Worker& worker_;
  std::size_t left_;
  std::shared_ptr<NamespaceInTheMaking> next_;
};

class Namespaces {
 public:
  // `state_dir`, `link_dir` and `spare` as in Config.
  Namespaces(std::string state_dir, std::string link_dir, std::shared_ptr<SpareNamespaces> spare);

  std::string pin_path(const Id& container) const;
  bool is_pinned(const Id& container) const;
  // What is in the directory of the pins, mounted or not.
  std::vector<Id> pins() const;

  // `source` empty: a new namespace.
  void pin(const Id& container, const std::string& source);
  void unpin(const std::vector<Id>& containers);

  void link(const Id& container, const std::string& name);
  void unlink(const Id& container, const std::string& name);
  // Whether link_dir/NAME points to the container's pin.
  bool is_linked(const Id& container, const std::string& name) const;
  // Every symlink in link_dir that points to a pin of ours: container -> name.
  std::multimap<Id, std::string> links() const;
  // Whether symlinks can be made; makes nothing.
  bool can_link() const;

  // Opening costs a thread, so what was opened stays open until the namespace is unpinned (or too many are).
  // The reference is good until the next call of inside() or unpin().
  Inside& inside(const Id& container);

 private:
  std::string pins_dir() const { return state_dir_ + "/netns"; }
  // The container whose pin the symlink at `path` points to; empty: another place, or no symlink.
  Id linked_container(const std::string& path) const;
  Inside made_or_opened(const std::string& source);

  std::string state_dir_;
  std::string link_dir_;
  std::shared_ptr<SpareNamespaces> spare_;
  std::map<Id, Inside> open_;
};

}  // namespace mb::kernel
