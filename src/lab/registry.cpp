// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/registry.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/container/pidfd.h"

namespace mb::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLabEnding = ".lab";
constexpr int kMostOfAName = 1000;

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool try_lock(int fd) {
  auto lock = whole_file(F_WRLCK);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool is_locked(int fd) {
  auto lock = whole_file(F_WRLCK);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// Numbers of processes mean something within one of these only.
std::uint64_t own_pid_namespace() {
  struct stat status {};
  if (::stat("/proc/self/ns/pid", &status) != 0) throw system_failure("cannot look at '/proc/self/ns/pid'", errno);
  return status.st_ino;
}

bool is_own_directory(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

std::string choose_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && is_own_directory(runtime)) return fmt::format("{}/minibridge-lab", runtime);
  const std::string usual = fmt::format("/run/user/{}", ::geteuid());
  if (is_own_directory(usual)) return usual + "/minibridge-lab";
  return fmt::format("/tmp/minibridge-{}", ::geteuid());
}

// A file of that path may have been removed as a leftover between opening and locking it.
bool is_still_there(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 && open_file.st_ino == named.st_ino &&
         open_file.st_dev == named.st_dev;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[16384];
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, buffer, sizeof buffer, at);
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    at += got;
  }
}

// One line of numbers and the topology's name, then the topology's text.
struct Record {
  std::uint64_t pid_namespace = 0;
  pid_t pid = 0;
  std::int64_t since = 0;
  std::string topology;
  std::string source;
};

std::optional<Record> parse_record(const std::string& text) {
  std::istringstream stream(text);
  Record record;
  if (!(stream >> record.pid_namespace >> record.pid >> record.since)) return std::nullopt;
  stream.get();
  std::getline(stream, record.topology);
  record.source.assign(std::istreambuf_iterator<char>(stream), {});
  return record;
}

}  // namespace

Reservation::Reservation(Name name, std::string path, netns::UniqueFd lock)
    : name_(std::move(name)), path_(std::move(path)), lock_(std::move(lock)) {}

Reservation::Reservation(Reservation&& other) noexcept
    : name_(std::move(other.name_)), path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

Reservation::~Reservation() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Registry Registry::open() {
  const std::string directory = choose_directory();
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    throw system_failure(fmt::format("cannot make '{}' for the list of labs", directory), errno);
  }
  struct stat status {};
  const bool ours = is_own_directory(directory) && ::stat(directory.c_str(), &status) == 0;
  if (!ours || (status.st_mode & 077) != 0) {
    throw Error(ErrorKind::privilege, fmt::format("'{}' must be a directory that only this user may enter", directory),
                "set XDG_RUNTIME_DIR to a directory of your own", EPERM);
  }
  return Registry(directory);
}

std::string Registry::path_of(const Name& name) const {
  return fmt::format("{}/{}{}", directory_, name.str(), kLabEnding);
}

std::optional<Reservation> Registry::try_reserve(const Name& name) const {
  const std::string path = path_of(name);
  while (true) {
    netns::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) throw system_failure(fmt::format("cannot open '{}'", path), errno);
    if (!try_lock(file.get())) return std::nullopt;
    if (is_still_there(file.get(), path)) return Reservation(name, path, std::move(file));
  }
}

Reservation Registry::reserve(const Name& name) const {
  if (auto reservation = try_reserve(name)) return std::move(*reservation);
  throw Error(ErrorKind::conflict, fmt::format("a lab '{}' is up already", name.str()),
              fmt::format("choose another --name, or 'minibridge lab down {}'", name.str()));
}

Reservation Registry::reserve_any(const Name& wanted) const {
  for (int number = 1; number < kMostOfAName; ++number) {
    const Name name = number == 1 ? wanted : Name::parse(fmt::format("{}-{}", wanted.str(), number));
    if (auto reservation = try_reserve(name)) return std::move(*reservation);
  }
  return reserve(wanted);
}

void Registry::publish(Reservation reservation, const Topology& topology, pid_t pid) const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::string text =
      fmt::format("{} {} {} {}\n{}", own_pid_namespace(), pid,
                  std::chrono::duration_cast<std::chrono::seconds>(now).count(), topology.name, topology.source);
  const int fd = reservation.lock();
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw system_failure(fmt::format("cannot write '{}'", reservation.path_), errno);
  }
  reservation.path_.clear();
}

std::optional<Lab> Registry::read(const Name& name) const {
  const std::string path = path_of(name);
  const netns::UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return std::nullopt;
  if (try_lock(file.get())) {  // nobody is behind it any more
    if (is_still_there(file.get(), path)) ::unlink(path.c_str());
    return std::nullopt;
  }
  const auto record = parse_record(read_all(file.get()));
  if (!record || record->pid_namespace != own_pid_namespace()) return std::nullopt;  // not ready, or not ours to see
  Lab lab;
  lab.name = name;
  lab.topology = read_topology(record->source, fmt::format("lab {}", name.str()), record->topology);
  lab.pid = record->pid;
  lab.since = record->since;
  return lab;
}

std::vector<Lab> Registry::all() const {
  std::vector<Lab> labs;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kLabEnding)) continue;
    if (auto lab = read(Name::parse(file.substr(0, file.size() - kLabEnding.size())))) labs.push_back(std::move(*lab));
  }
  std::sort(labs.begin(), labs.end(), [](const Lab& a, const Lab& b) { return a.name < b.name; });
  return labs;
}

Lab Registry::find(const std::string& name) const {
  auto labs = all();
  std::vector<std::string> names;
  for (const Lab& lab : labs) names.push_back(lab.name.str());
  if (name.empty() && labs.size() == 1) return std::move(labs.front());
  if (name.empty() && labs.size() > 1) {
    throw Error(ErrorKind::usage, "several labs are up, so one must be named", "up are: " + join(names, ", "));
  }
  for (Lab& lab : labs) {
    if (lab.name.str() == name) return std::move(lab);
  }
  const std::string up = names.empty() ? "no lab is up; 'minibridge lab up' makes one" : "up are: " + join(names, ", ");
  throw Error(ErrorKind::not_found,
              name.empty() ? "no lab is up" : fmt::format("there is no lab '{}'", printable(name)),
              name.empty() ? "'minibridge lab up' makes one" : up);
}

// The number may have passed to another process since it was written down. The lock tells: still held after the
// descriptor was opened means that it is the process we mean.
netns::UniqueFd Registry::open_process(const Lab& lab) const {
  netns::UniqueFd process = container::open_process(lab.pid);
  const netns::UniqueFd file(::open(path_of(lab.name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (process && file && is_locked(file.get())) return process;
  throw Error(ErrorKind::not_found, fmt::format("lab '{}' has just ended", lab.name.str()));
}

void Registry::take_down(const Lab& lab) const {
  const netns::UniqueFd process = open_process(lab);
  if (container::send_signal(process, SIGKILL) != 0 && errno != ESRCH) {
    throw system_failure(fmt::format("cannot end lab '{}'", lab.name.str()), errno);
  }
  pollfd ended{process.get(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  read(lab.name);  // removes the entry
}

}  // namespace mb::lab
