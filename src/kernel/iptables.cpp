// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/iptables.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>

#include <net/if.h>
#include <netinet/in.h>

#include <libiptc/libiptc.h>
#include <linux/netfilter/x_tables.h>

extern "C" {  // libip6tc.h does not say so itself
#include <libiptc/libip6tc.h>
}

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/kernel/iptables_codec.h"
#include "src/model/chains.h"

namespace mb::kernel {
namespace {

// The library's two halves, one for each family, with the same functions under two sets of names.
// NOLINTBEGIN(readability-identifier-naming): constants that are called, and named as functions are
struct V4 {
  using Entry = ipt_entry;
  static constexpr Family kFamily = Family::v4;
  static constexpr std::string_view kModules = "ip_tables iptable";
  static constexpr auto init = &iptc_init;
  static constexpr auto free = &iptc_free;
  static constexpr auto commit = &iptc_commit;
  static constexpr auto error_text = &iptc_strerror;
  static constexpr auto first_chain = &iptc_first_chain;
  static constexpr auto next_chain = &iptc_next_chain;
  static constexpr auto is_chain = &iptc_is_chain;
  static constexpr auto is_builtin = &iptc_builtin;
  static constexpr auto create_chain = &iptc_create_chain;
  static constexpr auto flush_chain = &iptc_flush_entries;
  static constexpr auto delete_chain = &iptc_delete_chain;
  static constexpr auto first_rule = &iptc_first_rule;
  static constexpr auto next_rule = &iptc_next_rule;
  static constexpr auto target_of = &iptc_get_target;
  static constexpr auto append = &iptc_append_entry;
  static constexpr auto check = &iptc_check_entry;
  static constexpr auto insert = &iptc_insert_entry;
  static constexpr auto remove = &iptc_delete_entry;
  static constexpr auto policy = &iptc_get_policy;
  static constexpr auto set_policy = &iptc_set_policy;
};

struct V6 {
  using Entry = ip6t_entry;
  static constexpr Family kFamily = Family::v6;
  static constexpr std::string_view kModules = "ip6_tables ip6table";
  static constexpr auto init = &ip6tc_init;
  static constexpr auto free = &ip6tc_free;
  static constexpr auto commit = &ip6tc_commit;
  static constexpr auto error_text = &ip6tc_strerror;
  static constexpr auto first_chain = &ip6tc_first_chain;
  static constexpr auto next_chain = &ip6tc_next_chain;
  static constexpr auto is_chain = &ip6tc_is_chain;
  static constexpr auto is_builtin = &ip6tc_builtin;
  static constexpr auto create_chain = &ip6tc_create_chain;
  static constexpr auto flush_chain = &ip6tc_flush_entries;
  static constexpr auto delete_chain = &ip6tc_delete_chain;
  static constexpr auto first_rule = &ip6tc_first_rule;
  static constexpr auto next_rule = &ip6tc_next_rule;
  static constexpr auto target_of = &ip6tc_get_target;
  static constexpr auto append = &ip6tc_append_entry;
  static constexpr auto check = &ip6tc_check_entry;
  static constexpr auto insert = &ip6tc_insert_entry;
  static constexpr auto remove = &ip6tc_delete_entry;
  static constexpr auto policy = &ip6tc_get_policy;
  static constexpr auto set_policy = &ip6tc_set_policy;
};
// NOLINTEND(readability-identifier-naming)

template <class Tc>
struct FreeHandle {
  void operator()(xtc_handle* handle) const { Tc::free(handle); }
};
template <class Tc>
using Handle = std::unique_ptr<xtc_handle, FreeHandle<Tc>>;

std::string table_name(TableKey key) {
  return fmt::format("{} table '{}'", key.family == Family::v4 ? "iptables" : "ip6tables", to_string(key.table));
}

bool is_ours(std::string_view chain) { return chain.starts_with(kChainPrefix); }

// Another writer without the lock changes the table between our reading and our commit: the kernel says EAGAIN.
constexpr int kMostAttempts = 20;

netns::UniqueFd take_lock() {
  const char* configured = std::getenv("XTABLES_LOCKFILE");
  const std::string path = configured != nullptr ? configured : "/run/xtables.lock";
  netns::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (fd.get() < 0) {
    throw system_failure(fmt::format("cannot open the lock of iptables '{}'", path), errno,
                         "XTABLES_LOCKFILE names another place for it");
  }
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) throw system_failure(fmt::format("cannot lock '{}'", path), errno);
  }
  return fd;
}

template <class Tc>
Handle<Tc> open_table(Table table) {
  Handle<Tc> handle(Tc::init(std::string(to_string(table)).c_str()));
  if (handle) return handle;
  const int error = errno;
  const std::string what = fmt::format("cannot read the {}", table_name({Tc::kFamily, table}));
  if (error == ENOENT || error == ENOPROTOOPT) {
    throw Error(ErrorKind::failed,
                fmt::format("{}: this kernel has no legacy iptables here ({})", what, errno_name(error)),
                fmt::format("load it with 'modprobe -a {}_{}'; the kernel needs "
                            "CONFIG_NETFILTER_XTABLES_LEGACY or its older equivalent",
                            Tc::kModules, to_string(table)),
                error);
  }
  if (error == EPERM || error == EACCES) {
    throw Error(ErrorKind::privilege, fmt::format("{}: {} ({})", what, Tc::error_text(error), errno_name(error)), {},
                error);
  }
  throw Error(ErrorKind::failed, fmt::format("{}: {} ({})", what, Tc::error_text(error), errno_name(error)), {}, error);
}

template <class Entry>
std::span<const std::uint8_t> bytes_of(const Entry* entry) {
  return {reinterpret_cast<const std::uint8_t*>(entry), entry->next_offset};
}

template <class Tc, class Visit>
void for_each_rule(const char* chain, xtc_handle* handle, Visit visit) {
  for (const auto* entry = Tc::first_rule(chain, handle); entry != nullptr; entry = Tc::next_rule(entry, handle)) {
    visit(bytes_of(entry), Tc::target_of(entry, handle));
  }
}

bool is_wanted(std::string_view comment, const Scope& scope) {
  return scope.everything || scope.owners.contains(std::string(owner_in_comment(comment)));
}

template <class Tc>
void read_own_chain(const char* chain, xtc_handle* handle, const Scope& scope, TableRules& result) {
  auto& rules = result.chains[chain];
  const bool filtered = is_by_owner(chain);
  for_each_rule<Tc>(chain, handle, [&](std::span<const std::uint8_t> entry, const char* target) {
    if (filtered && !is_wanted(comment_of(Tc::kFamily, entry), scope)) return;
    rules.push_back(decode(Tc::kFamily, entry, target));
  });
}

std::optional<Hook> hook_called(std::string_view built_in) {
  constexpr std::array<std::pair<std::string_view, Hook>, 5> kHooks = {{{"PREROUTING", Hook::prerouting},
                                                                        {"INPUT", Hook::input},
                                                                        {"FORWARD", Hook::forward},
                                                                        {"OUTPUT", Hook::output},
                                                                        {"POSTROUTING", Hook::postrouting}}};
  for (const auto& [name, hook] : kHooks) {
    if (name == built_in) return hook;
  }
  return std::nullopt;
}

template <class Tc>
HostChain read_whole_chain(const char* name, xtc_handle* handle) {
  HostChain chain;
  chain.name = name;
  if (Tc::is_builtin(name, handle) != 0) {
    xt_counters counters{};
    const char* policy = Tc::policy(name, &counters, handle);
    chain.hook = hook_called(name);
    chain.drops = policy != nullptr && std::string_view(policy) == "DROP";
  }
  for_each_rule<Tc>(name, handle, [&](std::span<const std::uint8_t> entry, const char* target) {
    chain.rules.push_back({decode(Tc::kFamily, entry, target), chain.rules.size() + 1, std::nullopt});
  });
  return chain;
}

template <class Tc>
HostTable read_whole_table(Table table) {
  const auto handle = open_table<Tc>(table);
  HostTable result{Backend::legacy, Tc::kFamily == Family::v4 ? "ip" : "ip6", std::string(to_string(table)), {}};
  for (const char* chain = Tc::first_chain(handle.get()); chain != nullptr; chain = Tc::next_chain(handle.get())) {
    result.chains.push_back(read_whole_chain<Tc>(chain, handle.get()));
  }
  return result;
}

template <class Tc>
void read_hooks(const char* chain, xtc_handle* handle, TableRules& result) {
  for_each_rule<Tc>(chain, handle, [&](std::span<const std::uint8_t> entry, const char* target) {
    if (is_ours(target)) result.hooks[chain].push_back(decode(Tc::kFamily, entry, target));
  });
}

template <class Tc>
TableRules read_table(Table table, const Scope& scope) {
  const auto handle = open_table<Tc>(table);
  TableRules result;
  for (const char* chain = Tc::first_chain(handle.get()); chain != nullptr; chain = Tc::next_chain(handle.get())) {
    if (Tc::is_builtin(chain, handle.get()) != 0) {
      read_hooks<Tc>(chain, handle.get(), result);
    } else if (is_ours(chain)) {
      read_own_chain<Tc>(chain, handle.get(), scope, result);
    }
  }
  return result;
}

// Carries the edits out on a table that was read.
template <class Tc>
class TableEditor {
 public:
  TableEditor(const step::CommitRules& commit, bool undoing, xtc_handle* handle)
      : commit_(commit), undoing_(undoing), handle_(handle) {}

  // Whether anything was changed.
  bool run() {
    for (const auto& edit : commit_.edits) apply(edit);
    if (changed_) keep_policy_counters();
    return changed_;
  }

 private:
  using Kind = step::RuleEdit::Kind;

  void apply(const step::RuleEdit& edit) {
    const char* chain = edit.chain.c_str();
    switch (edit.kind) {
      case Kind::add_chain:
        if (Tc::is_chain(chain, handle_) == 0) check(Tc::create_chain(chain, handle_), edit);
        break;
      case Kind::remove_chain: remove_chain(edit); break;
      case Kind::insert: insert(edit); break;
      case Kind::remove: remove(edit); break;
    }
  }

  void remove_chain(const step::RuleEdit& edit) {
    const char* chain = edit.chain.c_str();
    if (Tc::is_chain(chain, handle_) == 0) return;
    // What the operator has written stays, and with it the chain.
    if (edit.chain == kUserChain && Tc::first_rule(chain, handle_) != nullptr) return;
    check(Tc::flush_chain(chain, handle_), edit);
    check(Tc::delete_chain(chain, handle_), edit);
  }

  void insert(const step::RuleEdit& edit) {
    const auto bytes = encode(edit.rule);
    const auto* entry = reinterpret_cast<const typename Tc::Entry*>(bytes.data());
    // What is to be undone may not have happened: then the rule that would be put back is still there.
    if (undoing_ && is_there(edit.chain.c_str(), bytes)) return;
    const auto length = chain_length(edit);
    if (edit.position >= length) {
      check(Tc::append(edit.chain.c_str(), entry, handle_), edit);
    } else {
      check(Tc::insert(edit.chain.c_str(), entry, static_cast<unsigned>(edit.position), handle_), edit);
    }
  }

  bool is_there(const char* chain, const std::vector<std::uint8_t>& entry) const {
    std::vector<std::uint8_t> compare_all(entry.size(), 0xff);
    return Tc::check(chain, reinterpret_cast<const typename Tc::Entry*>(entry.data()), compare_all.data(), handle_) !=
           0;
  }

  // Only needed where a position is named: appending must not cost a walk along a long chain.
  std::size_t chain_length(const step::RuleEdit& edit) const {
    if (edit.position == step::RuleEdit::kEnd) return 0;
    std::size_t length = 0;
    const char* chain = edit.chain.c_str();
    for (const auto* entry = Tc::first_rule(chain, handle_); entry != nullptr && length <= edit.position;
         entry = Tc::next_rule(entry, handle_)) {
      ++length;
    }
    return length;
  }

  void remove(const step::RuleEdit& edit) {
    const auto bytes = encode(edit.rule);
    std::vector<std::uint8_t> compare_all(bytes.size(), 0xff);
    const int done = Tc::remove(edit.chain.c_str(), reinterpret_cast<const typename Tc::Entry*>(bytes.data()),
                                compare_all.data(), handle_);
    if (done == 0 && errno != ENOENT) fail(edit);
    changed_ = changed_ || done != 0;
  }

  void check(int done, const step::RuleEdit& edit) {
    if (done == 0) fail(edit);
    changed_ = true;
  }

  [[noreturn]] void fail(const step::RuleEdit& edit) const {
    const int error = errno;
    throw Error(ErrorKind::failed,
                fmt::format("cannot change chain '{}' of the {}: {} ({})", edit.chain, table_name(commit_.table),
                            Tc::error_text(error), errno_name(error)),
                {}, error);
  }

  void keep_policy_counters() {
    for (const char* chain = Tc::first_chain(handle_); chain != nullptr; chain = Tc::next_chain(handle_)) {
      if (Tc::is_builtin(chain, handle_) == 0) continue;
      xt_counters counters{};
      const char* policy = Tc::policy(chain, &counters, handle_);
      if (policy != nullptr) Tc::set_policy(chain, policy, &counters, handle_);
    }
  }

  const step::CommitRules& commit_;
  const bool undoing_;
  xtc_handle* handle_;
  bool changed_ = false;
};

template <class Tc>
void commit_edits(const step::CommitRules& commit, bool undoing) {
  const auto lock = take_lock();
  for (int attempt = 1;; ++attempt) {
    const auto handle = open_table<Tc>(commit.table.table);
    if (!TableEditor<Tc>(commit, undoing, handle.get()).run()) return;
    if (Tc::commit(handle.get()) != 0) return;
    const int error = errno;
    if (error == EAGAIN && attempt < kMostAttempts) continue;
    throw Error(error == EPERM ? ErrorKind::privilege : ErrorKind::failed,
                fmt::format("cannot commit the {}: {} ({})", table_name(commit.table), Tc::error_text(error),
                            errno_name(error)),
                {}, error);
  }
}

enum class Extension : std::uint8_t { match, target };

bool has_extension(Family family, Extension kind, std::string_view name, std::uint8_t revision) {
  const bool v4 = family == Family::v4;
  const netns::UniqueFd socket_fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (socket_fd.get() < 0) return true;  // whoever may not ask learns it from the commit
  xt_get_revision question{};
  std::memcpy(question.name, name.data(), std::min(name.size(), sizeof(question.name) - 1));
  question.revision = revision;
  socklen_t size = sizeof(question);
  const int of_match = v4 ? IPT_SO_GET_REVISION_MATCH : IP6T_SO_GET_REVISION_MATCH;
  const int of_target = v4 ? IPT_SO_GET_REVISION_TARGET : IP6T_SO_GET_REVISION_TARGET;
  const int answer = getsockopt(socket_fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                kind == Extension::match ? of_match : of_target, &question, &size);
  if (answer == 0) return true;
  return errno != ENOENT && errno != EPROTONOSUPPORT && errno != EPROTOTYPE;
}

}  // namespace

TableRules Iptables::read(TableKey key, const Scope& scope) const {
  return key.family == Family::v4 ? read_table<V4>(key.table, scope) : read_table<V6>(key.table, scope);
}

void Iptables::commit(const step::CommitRules& commit, bool undoing) const {
  if (commit.table.family == Family::v4) {
    commit_edits<V4>(commit, undoing);
  } else {
    commit_edits<V6>(commit, undoing);
  }
}

bool Iptables::has_table(TableKey key) {
  std::ifstream names(key.family == Family::v4 ? "/proc/net/ip_tables_names" : "/proc/net/ip6_tables_names");
  const auto wanted = to_string(key.table);
  return std::any_of(std::istream_iterator<std::string>(names), {},
                     [&](const std::string& name) { return name == wanted; });
}

bool Iptables::has_match(Family family, std::string_view name, std::uint8_t revision) const {
  return has_extension(family, Extension::match, name, revision);
}

HostTable Iptables::read_all(TableKey key) const {
  return key.family == Family::v4 ? read_whole_table<V4>(key.table) : read_whole_table<V6>(key.table);
}

bool Iptables::is_first(Table table, const std::string& chain) const {
  const auto handle = open_table<V4>(table);
  const auto* first = V4::first_rule(chain.c_str(), handle.get());
  return first != nullptr && is_ours(V4::target_of(first, handle.get()));
}

std::vector<std::string> Iptables::missing_extensions(Family family) const {
  struct Needed {
    Extension kind;
    std::string_view name;
    std::uint8_t revision;
  };
  constexpr std::array<Needed, 6> kNeeded = {{{Extension::match, "addrtype", 1},
                                              {Extension::match, "conntrack", 3},
                                              {Extension::match, "comment", 0},
                                              {Extension::match, "devgroup", 0},
                                              {Extension::target, "DNAT", 2},
                                              {Extension::target, "MASQUERADE", 0}}};
  std::vector<std::string> missing;
  for (const auto& [kind, name, revision] : kNeeded) {
    if (has_extension(family, kind, name, revision)) continue;
    missing.push_back(fmt::format("{} {}", name, kind == Extension::match ? "match" : "target"));
  }
  return missing;
}

}  // namespace mb::kernel
