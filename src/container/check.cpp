// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/check.h"

#include <sys/stat.h>

#include <cerrno>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/capabilities.h"
#include "src/container/identity.h"

namespace mb::container {
namespace {

[[noreturn]] void reject(std::string message, std::string hint = {}) {
  throw Error(ErrorKind::usage, std::move(message), std::move(hint));
}

void check_absolute(const char* what, const std::string& path) {
  if (path.starts_with('/')) return;
  reject(fmt::format("the {} '{}' is not an absolute path", what, printable(path)), "begin it with '/'");
}

void check_rootfs(const std::string& path) {
  if (path.empty()) return;
  check_absolute("root file system", path);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error(ErrorKind::usage,
                system_failure(fmt::format("cannot use the root file system '{}'", printable(path)), errno).message());
  }
  if (!S_ISDIR(status.st_mode)) reject(fmt::format("the root file system '{}' is not a directory", printable(path)));
}

void check_volume(const Volume& volume) {
  check_absolute("volume's host path", volume.host_path);
  check_absolute("volume's container path", volume.container_path);
  if (volume.container_path == "/") {
    reject("a volume cannot be mounted on '/'", "--rootfs gives the container another root file system");
  }
  struct stat status {};
  if (::stat(volume.host_path.c_str(), &status) != 0) {
    reject(fmt::format("the volume '{}' does not exist on the host", printable(volume.host_path)));
  }
}

void check_environment(const std::string& entry) {
  const std::size_t equals = entry.find('=');
  if (equals == 0 || equals == std::string::npos) {
    reject(fmt::format("'{}' is not an environment variable", printable(entry)), "write NAME=VALUE");
  }
}

}  // namespace

void check_process_spec(const ProcessSpec& spec) {
  check_rootfs(spec.rootfs);
  for (const Volume& volume : spec.volumes) check_volume(volume);
  check_absolute("working directory", spec.working_directory);
  for (const std::string& entry : spec.environment) check_environment(entry);
  check_user(spec.user);
  wanted_capabilities(spec);
}

}  // namespace mb::container
