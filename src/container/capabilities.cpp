// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/capabilities.h"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::container {
namespace {

// docker's oci/caps/defaults.go.
constexpr std::initializer_list<int> kDefaults = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,           CAP_MKNOD,      CAP_NET_RAW, CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,    CAP_AUDIT_WRITE};

constexpr int kAllSets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE;

std::string normalized(const std::string& name) {
  std::string lower;
  for (const char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.starts_with("cap_") ? lower.substr(4) : lower;
}

std::set<int> every_capability() {
  std::set<int> all;
  for (int number = 0; number <= CAP_LAST_CAP; ++number) all.insert(number);
  return all;
}

// Empty: no such name.
std::set<int> named(const std::string& name) {
  const std::string lower = normalized(name);
  if (lower == "all") return every_capability();
  const int number = capng_name_to_capability(lower.c_str());
  return number < 0 ? std::set<int>{} : std::set<int>{number};
}

std::set<int> named(const std::vector<std::string>& names, std::vector<std::string>& unknown) {
  std::set<int> numbers;
  for (const std::string& name : names) {
    const std::set<int> more = named(name);
    if (more.empty()) unknown.push_back("'" + printable(name) + "'");
    numbers.insert(more.begin(), more.end());
  }
  return numbers;
}

// Dropping ALL and adding some leaves those; adding ALL and dropping some leaves the others (docker's reading).
std::set<int> combine(const ProcessSpec& spec, const std::set<int>& add, const std::set<int>& drop) {
  const auto mentions_all = [](const std::vector<std::string>& names) {
    return std::any_of(names.begin(), names.end(), [](const auto& name) { return normalized(name) == "all"; });
  };
  std::set<int> result = kDefaults;
  if (mentions_all(spec.cap_drop)) {
    result.clear();
  } else if (mentions_all(spec.cap_add)) {
    result = every_capability();
  }
  if (!mentions_all(spec.cap_add)) result.insert(add.begin(), add.end());
  if (!mentions_all(spec.cap_drop)) {
    for (const int number : drop) result.erase(number);
  }
  return result;
}

bool contains(const Capabilities& wanted, int number) {
  return std::binary_search(wanted.begin(), wanted.end(), number);
}

// The running kernel may know more than the headers we were built with.
bool kernel_knows(int number) { return ::prctl(PR_CAPBSET_READ, number) >= 0; }

void drop_from_bounding_set(int number) {
  if (::prctl(PR_CAPBSET_READ, number) != 1) return;  // gone already
  if (::prctl(PR_CAPBSET_DROP, number) != 0) throw system_failure("cannot limit the container's capabilities", errno);
}

}  // namespace

Capabilities wanted_capabilities(const ProcessSpec& spec) {
  std::vector<std::string> unknown;
  const std::set<int> add = named(spec.cap_add, unknown);
  const std::set<int> drop = named(spec.cap_drop, unknown);
  if (!unknown.empty()) {
    throw Error(ErrorKind::usage, fmt::format("unknown capability {}", join(unknown, ", ")),
                "names are those of capabilities(7), with or without CAP_, or ALL");
  }
  const std::set<int> result = spec.privileged ? every_capability() : combine(spec, add, drop);
  return {result.begin(), result.end()};
}

void limit_capabilities(const Capabilities& wanted) {
  for (int number = 0; kernel_knows(number); ++number) {
    if (!contains(wanted, number)) drop_from_bounding_set(number);
  }
}

void keep_capabilities(const Capabilities& wanted) {
  capng_setpid(::getpid());  // the library remembers the number it had before a fork
  if (capng_get_caps_process() != 0) throw system_failure("cannot read the process's capabilities", errno);
  for (int number = 0; kernel_knows(number); ++number) {
    const int sets = contains(wanted, number) ? CAPNG_INHERITABLE : kAllSets;
    capng_update(CAPNG_DROP, static_cast<capng_type_t>(sets), static_cast<unsigned>(number));
  }
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) throw system_failure("cannot set the container's capabilities", errno);
}

void keep_only_signalling() { keep_capabilities({CAP_KILL}); }

}  // namespace mb::container
