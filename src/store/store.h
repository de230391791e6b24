// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the user asked for, on disk: one SQLite file in the state directory.
//
// Promises
//   * names, addresses and host ports are unique by constraint, not by care.
//   * a delta is written in one transaction.
//   * the marker of accidents is a file beside the database: making and removing it costs nothing.
//   * a file that is not ours, or belongs to another network namespace or boot, is refused and never overwritten.
// Writers hold StateLock; readers need nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
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
  struct Database;

 public:
  // `fresh_state_id` (8 hexadecimal digits) is used when the state begins here.
  static std::unique_ptr<Store> open(const std::string& state_dir, Access access, const World& world,
                                     const std::string& fresh_state_id);
  ~Store() override;

  const Identity& identity() const;

  // Whether the path still leads to the file that is open, and this is still the process that opened it.
  bool is_current() const;

  // While it lives, or until the first change, all questions are answered from one state, and cheaper than one by one.
  // Other processes that want to write wait for its end.
  class View {
   public:
    explicit View(const Store& store);
    ~View();
    View(const View&) = delete;
    View& operator=(const View&) = delete;

   private:
    Database& database_;
  };

  // Somebody died between the first and the last step of a plan: the kernel may differ from the state.
  bool marked() const;
  void set_marker();
  void clear_marker();
  // Writes the objects as they are after the change.
  void write(const Delta& delta);
  // The same in two halves, with time for other things between them; only commit() makes it so.
  void stage(const Delta& delta);
  void commit();
  void abandon();

  // Sysctls of the host as they were before they were changed.
  std::map<std::string, SysctlState> sysctls_before() const;
  // The first value remembered stays.
  void remember_sysctl(const std::string& name, const SysctlState& before);
  void forget_sysctls(const std::vector<std::string>& names);

  std::vector<Container> running() const;

  // Containers in the network that run (or need not run to be there).
  std::vector<Container> present_in(const Id& network) const;
  // Whether there is one besides these. Costs little, however many there are.
  enum class Presence : std::uint8_t { running = 1, reads_hosts = 2 };
  bool somebody_in(const Id& network, Presence presence, const std::set<Id>& except) const;

  std::vector<Network> networks() const override;
  std::vector<Container> containers() const override;
  std::optional<Container> find_container(std::string_view name_or_id) const override;
  std::size_t endpoint_count(const Id& network) const override;
  std::optional<std::string> address_holder(const Id& network, const IpAddress& address) const override;
  std::optional<IpAddress> highest_given(const Id& network, Family family) const override;
  std::vector<IpAddress> released(const Id& network, Family family) const override;
  std::vector<PortHolder> published_in(Protocol protocol, const PortRange& range) const override;

 private:
  explicit Store(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

// Takes the whole state directory away (after everything in it has been taken down). Held lock or not: the lock file goes last.
void remove_state(const std::string& state_dir);

}  // namespace mb::store
