// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/identity.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::container {
namespace {

struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;

struct Account {
  uid_t uid;
  gid_t gid;
  std::string name;
  std::string home;
};

struct UserText {
  std::string user;
  std::optional<std::string> group;
};

UserText split_user(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {text, std::nullopt};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

// (uid_t)-1 means "leave it" to the kernel and is nobody's number.
std::optional<unsigned> as_number(const std::string& text) {
  unsigned number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (text.empty() || error != std::errc{} || stop != end || number == ~0U) return std::nullopt;
  return number;
}

template <typename Matches>
std::optional<Account> find_account(Matches matches) {
  const File file(std::fopen("/etc/passwd", "re"));
  if (!file) return std::nullopt;
  while (const passwd* entry = ::fgetpwent(file.get())) {
    if (matches(*entry)) return Account{entry->pw_uid, entry->pw_gid, entry->pw_name, entry->pw_dir};
  }
  return std::nullopt;
}

template <typename Visit>
void each_group(Visit visit) {
  const File file(std::fopen("/etc/group", "re"));
  if (!file) return;
  while (const group* entry = ::fgetgrent(file.get())) visit(*entry);
}

std::vector<gid_t> groups_of(const std::string& account) {
  std::vector<gid_t> groups;
  each_group([&](const group& entry) {
    for (char** member = entry.gr_mem; *member != nullptr; ++member) {
      if (account == *member) groups.push_back(entry.gr_gid);
    }
  });
  return groups;
}

gid_t find_group(const std::string& text) {
  std::optional<gid_t> found;
  each_group([&](const group& entry) {
    if (text == entry.gr_name) found = entry.gr_gid;
  });
  if (!found) found = as_number(text);
  if (!found) {
    throw Error(ErrorKind::usage, fmt::format("there is no group '{}' in the container's /etc/group", printable(text)));
  }
  return *found;
}

std::optional<Account> account_of(uid_t uid) {
  return find_account([uid](const passwd& entry) { return entry.pw_uid == uid; });
}

std::optional<Account> account_of(const std::string& text) {
  auto by_name = find_account([&](const passwd& entry) { return text == entry.pw_name; });
  if (by_name) return by_name;
  const auto number = as_number(text);
  if (!number) {
    throw Error(ErrorKind::usage, fmt::format("there is no user '{}' in the container's /etc/passwd", printable(text)));
  }
  return account_of(static_cast<uid_t>(*number));
}

std::string home_of(const std::optional<Account>& account) {
  return account && !account->home.empty() ? account->home : "/";
}

[[noreturn]] void cannot_assume(const Identity& identity, int error) {
  const std::string what = fmt::format("cannot run as user {} and group {}", identity.uid, identity.gid);
  if (error != EINVAL) throw system_failure(what, error);
  throw Error(ErrorKind::usage, what + ": this user namespace has no such id",
              "/proc/self/uid_map and gid_map list the ids that exist here", error);
}

// An unprivileged user namespace forbids setgroups(2) altogether. The groups we then keep are those of the person who
// made it; where only the present ids can exist, nothing is gained by them that was not there before.
void set_groups(const Identity& identity) {
  if (::setgroups(identity.groups.size(), identity.groups.data()) == 0) return;
  const bool stays = identity.uid == ::getuid() && identity.gid == ::getgid();
  if (stays && (errno == EPERM || errno == EINVAL)) return;
  if (errno == EPERM) return;  // the change of user below says in a better sentence what is not possible
  cannot_assume(identity, errno);
}

}  // namespace

void check_user(const std::string& user) {
  const UserText text = split_user(user);
  if (user.empty()) return;
  if (text.user.empty() || (text.group && text.group->empty())) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is not a user", printable(user)), "write USER or USER:GROUP");
  }
}

Identity find_identity(const std::string& user) {
  Identity identity;
  if (user.empty()) {
    identity.uid = ::getuid();
    identity.gid = ::getgid();
    identity.home = home_of(account_of(identity.uid));
    return identity;
  }
  const UserText text = split_user(user);
  const std::optional<Account> account = account_of(text.user);
  identity.changes = true;
  identity.uid = account ? account->uid : static_cast<uid_t>(*as_number(text.user));
  identity.gid = text.group ? find_group(*text.group) : (account ? account->gid : 0);
  identity.home = home_of(account);
  // A group that is given explicitly stands alone, as in docker.
  if (account && !text.group) identity.groups = groups_of(account->name);
  return identity;
}

void assume(const Identity& identity) {
  if (!identity.changes) return;
  set_groups(identity);
  if (::setresgid(identity.gid, identity.gid, identity.gid) != 0) cannot_assume(identity, errno);
  if (::setresuid(identity.uid, identity.uid, identity.uid) != 0) cannot_assume(identity, errno);
}

}  // namespace mb::container
