// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/iptables.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>

#include <net/if.h>
#include <netinet/in.h>

#include <libiptc/libiptc.h>
#include <linux/netfilter/x_tables.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/kernel/iptables_codec.h"
#include "src/model/chains.h"

namespace mb::kernel {
namespace {

struct FreeHandle {
  void operator()(xtc_handle* handle) const { iptc_free(handle); }
};
using Handle = std::unique_ptr<xtc_handle, FreeHandle>;

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

Handle open_table(Table table) {
  Handle handle(iptc_init(std::string(to_string(table)).c_str()));
  if (handle) return handle;
  const int error = errno;
  const std::string what = fmt::format("cannot read the iptables table '{}'", to_string(table));
  if (error == ENOENT || error == ENOPROTOOPT) {
    throw Error(ErrorKind::failed,
                fmt::format("{}: this kernel has no legacy iptables here ({})", what, errno_name(error)),
                fmt::format("load it with 'modprobe ip_tables iptable_{}'; the kernel needs "
                            "CONFIG_NETFILTER_XTABLES_LEGACY or its older equivalent",
                            to_string(table)),
                error);
  }
  if (error == EPERM || error == EACCES) {
    throw Error(ErrorKind::privilege, fmt::format("{}: {} ({})", what, iptc_strerror(error), errno_name(error)), {},
                error);
  }
  throw Error(ErrorKind::failed, fmt::format("{}: {} ({})", what, iptc_strerror(error), errno_name(error)), {}, error);
}

std::span<const std::uint8_t> bytes_of(const ipt_entry* entry) {
  return {reinterpret_cast<const std::uint8_t*>(entry), entry->next_offset};
}

bool is_wanted(const ipt_entry* entry, const Scope& scope) {
  if (scope.everything) return true;
  return scope.owners.contains(std::string(owner_in_comment(comment_v4(bytes_of(entry)))));
}

void read_own_chain(const char* chain, xtc_handle* handle, const Scope& scope, TableRules& result) {
  auto& rules = result.chains[chain];
  const bool filtered = chain == kPublishChain;
  for (const auto* entry = iptc_first_rule(chain, handle); entry != nullptr; entry = iptc_next_rule(entry, handle)) {
    if (filtered && !is_wanted(entry, scope)) continue;
    rules.push_back(decode_v4(bytes_of(entry), iptc_get_target(entry, handle)));
  }
}

void read_hooks(const char* chain, xtc_handle* handle, TableRules& result) {
  for (const auto* entry = iptc_first_rule(chain, handle); entry != nullptr; entry = iptc_next_rule(entry, handle)) {
    const char* target = iptc_get_target(entry, handle);
    if (is_ours(target)) result.hooks[chain].push_back(decode_v4(bytes_of(entry), target));
  }
}

// Carries the edits out on a table that was read.
class TableEditor {
 public:
  TableEditor(const step::CommitRules& commit, xtc_handle* handle) : commit_(commit), handle_(handle) {}

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
        if (iptc_is_chain(chain, handle_) == 0) check(iptc_create_chain(chain, handle_), edit);
        break;
      case Kind::remove_chain: remove_chain(edit); break;
      case Kind::insert: insert(edit); break;
      case Kind::remove: remove(edit); break;
    }
  }

  void remove_chain(const step::RuleEdit& edit) {
    const char* chain = edit.chain.c_str();
    if (iptc_is_chain(chain, handle_) == 0) return;
    // What the operator has written stays, and with it the chain.
    if (edit.chain == kUserChain && iptc_first_rule(chain, handle_) != nullptr) return;
    check(iptc_flush_entries(chain, handle_), edit);
    check(iptc_delete_chain(chain, handle_), edit);
  }

  void insert(const step::RuleEdit& edit) {
    const auto bytes = encode_v4(edit.rule);
    const auto* entry = reinterpret_cast<const ipt_entry*>(bytes.data());
    const auto length = chain_length(edit);
    if (edit.position >= length) {
      check(iptc_append_entry(edit.chain.c_str(), entry, handle_), edit);
    } else {
      check(iptc_insert_entry(edit.chain.c_str(), entry, static_cast<unsigned>(edit.position), handle_), edit);
    }
  }

  // Only needed where a position is named: appending must not cost a walk along a long chain.
  std::size_t chain_length(const step::RuleEdit& edit) const {
    if (edit.position == step::RuleEdit::kEnd) return 0;
    std::size_t length = 0;
    const char* chain = edit.chain.c_str();
    for (const auto* entry = iptc_first_rule(chain, handle_); entry != nullptr && length <= edit.position;
         entry = iptc_next_rule(entry, handle_)) {
      ++length;
    }
    return length;
  }

  void remove(const step::RuleEdit& edit) {
    const auto bytes = encode_v4(edit.rule);
    std::vector<std::uint8_t> compare_all(bytes.size(), 0xff);
    const int done = iptc_delete_entry(edit.chain.c_str(), reinterpret_cast<const ipt_entry*>(bytes.data()),
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
                fmt::format("cannot change chain '{}' of table '{}': {} ({})", edit.chain,
                            to_string(commit_.table.table), iptc_strerror(error), errno_name(error)),
                {}, error);
  }

  void keep_policy_counters() {
    for (const char* chain = iptc_first_chain(handle_); chain != nullptr; chain = iptc_next_chain(handle_)) {
      if (iptc_builtin(chain, handle_) == 0) continue;
      xt_counters counters{};
      const char* policy = iptc_get_policy(chain, &counters, handle_);
      if (policy != nullptr) iptc_set_policy(chain, policy, &counters, handle_);
    }
  }

  const step::CommitRules& commit_;
  xtc_handle* handle_;
  bool changed_ = false;
};

void require_v4(Family family) {
  if (family == Family::v4) return;
  throw Error(ErrorKind::failed, "ip6tables is not driven yet");
}

}  // namespace

TableRules Iptables::read(TableKey key, const Scope& scope) const {
  require_v4(key.family);
  const auto handle = open_table(key.table);
  TableRules result;
  for (const char* chain = iptc_first_chain(handle.get()); chain != nullptr; chain = iptc_next_chain(handle.get())) {
    if (iptc_builtin(chain, handle.get()) != 0) {
      read_hooks(chain, handle.get(), result);
    } else if (is_ours(chain)) {
      read_own_chain(chain, handle.get(), scope, result);
    }
  }
  return result;
}

void Iptables::commit(const step::CommitRules& commit) const {
  require_v4(commit.table.family);
  const auto lock = take_lock();
  for (int attempt = 1;; ++attempt) {
    const auto handle = open_table(commit.table.table);
    if (!TableEditor(commit, handle.get()).run()) return;
    if (iptc_commit(handle.get()) != 0) return;
    const int error = errno;
    if (error == EAGAIN && attempt < kMostAttempts) continue;
    throw Error(error == EPERM ? ErrorKind::privilege : ErrorKind::failed,
                fmt::format("cannot commit the iptables table '{}': {} ({})", to_string(commit.table.table),
                            iptc_strerror(error), errno_name(error)),
                {}, error);
  }
}

bool Iptables::has_match(Family family, std::string_view name, std::uint8_t revision) const {
  require_v4(family);
  const netns::UniqueFd socket_fd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (socket_fd.get() < 0) return true;  // whoever may not ask learns it from the commit
  xt_get_revision question{};
  std::memcpy(question.name, name.data(), std::min(name.size(), sizeof(question.name) - 1));
  question.revision = revision;
  socklen_t size = sizeof(question);
  if (getsockopt(socket_fd.get(), IPPROTO_IP, IPT_SO_GET_REVISION_MATCH, &question, &size) == 0) return true;
  return errno != ENOENT && errno != EPROTONOSUPPORT && errno != EPROTOTYPE;
}

}  // namespace mb::kernel
