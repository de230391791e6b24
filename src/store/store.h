// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the user asked for, on disk: one SQLite file in the state directory.
//
// Promises
//   * names, addresses and host ports are unique by constraint, not by care.
//   * a delta is written in one transaction, together with the marker of accidents.
//   * a file that is not ours, or belongs to another network namespace or boot, is refused and never overwritten.
// Writers hold StateLock; readers need nothing (write-ahead log).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "src/model/change.h"
#include "src/model/kernel_state.h"
#include "src/model/state_view.h"

namespace mb::store {

// Which world the state directory belongs to.
struct World {
  std::uint64_t namespace_cookie = 0;
  std::string boot_id;
};

// /proc/sys/kernel/random/boot_id
std::string read_boot_id();

enum class Access : std::uint8_t {
  read,   // nothing is created; where there is no state yet, an empty one is kept in memory
  write,  // the directory and the file are created when they are missing
};

class Store : public StateView {
 public:
  // `fresh_state_id` (8 hexadecimal digits) is used when the state begins here.
  static std::unique_ptr<Store> open(const std::string& state_dir, Access access, const World& world,
                                     const std::string& fresh_state_id);
  ~Store() override;

  const Identity& identity() const;

  // Somebody died between the first and the last step of a plan: the kernel may differ from the state.
  bool marked() const;
  void set_marker();
  void clear_marker();
  // Writes the objects as they are after the change; the marker is set or cleared in the same transaction.
  void write(const Delta& delta, bool marker_after);

  // Sysctls of the host as they were before they were changed.
  std::map<std::string, SysctlState> sysctls_before() const;
  // The first value remembered stays.
  void remember_sysctl(const std::string& name, const SysctlState& before);
  void forget_sysctls();

  std::vector<Container> running() const;

  std::vector<Network> networks() const override;
  std::vector<Container> containers() const override;
  std::optional<Container> find_container(std::string_view name_or_id) const override;
  std::size_t endpoint_count(const Id& network) const override;
  std::optional<std::string> address_holder(const Id& network, const IpAddress& address) const override;
  std::optional<IpAddress> highest_given(const Id& network, Family family) const override;
  std::vector<IpAddress> released(const Id& network, Family family) const override;
  std::vector<PortHolder> published_in(Protocol protocol, const PortRange& range) const override;

 private:
  struct Database;
  explicit Store(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

// Takes the whole state directory away (after everything in it has been taken down). Held lock or not: the lock file goes last.
void remove_state(const std::string& state_dir);

}  // namespace mb::store
