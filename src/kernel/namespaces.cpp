// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/namespaces.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include <fmt/format.h>

#include "netns/pin.h"
#include "src/base/error.h"
#include "src/kernel/kernel.h"
#include "src/kernel/links.h"

namespace mb::kernel {
namespace {

namespace fs = std::filesystem;

// Two descriptors each; the usual limit of a process is 1024.
constexpr std::size_t kMostOpen = 128;

constexpr std::string_view kLinkPrefix = "mb-";

// On a thread that is in the new namespace. Every new one gets its lo up; the step that asks for it finds it done.
Socket socket_in_new_one() {
  Socket socket(NETLINK_ROUTE);
  step::LinkChange up;
  up.up = true;
  change_link(socket, InterfaceName::parse("lo"), up);
  return socket;
}

Inside new_one() {
  std::optional<Socket> socket;
  auto made = netns::Namespace::create([&socket] { socket.emplace(socket_in_new_one()); });
  return {std::move(made), std::move(*socket)};
}

}  // namespace

struct NamespaceInTheMaking {
  explicit NamespaceInTheMaking(netns::Worker& worker)
      : space(worker, [this] { socket.emplace(socket_in_new_one()); }) {}

  std::optional<Socket> socket;
  netns::NamespaceToCome space;  // goes first: it is what fills the socket
};

Inside::Inside(netns::Namespace opened)
    : handle_(std::move(opened)), route_(netns::run_in(handle_, [] { return Socket(NETLINK_ROUTE); })) {}

Socket& Inside::route() {
  if (coming_) {
    const auto coming = std::move(coming_);
    coming->space.settle();
    route_ = std::move(coming->socket);
  }
  return *route_;
}

SpareNamespaces::SpareNamespaces(netns::Worker& worker, std::size_t count) : worker_(worker), left_(count) {
  begin_next();
}

void SpareNamespaces::begin_next() {
  if (left_ == 0) return;
  --left_;
  next_ = std::make_shared<NamespaceInTheMaking>(worker_);
}

Inside SpareNamespaces::take() {
  if (!next_) return new_one();
  auto coming = std::move(next_);
  auto made = coming->space.take();
  begin_next();
  return {std::move(made), std::move(coming)};
}

std::shared_ptr<SpareNamespaces> begin_namespaces(netns::Worker& worker, std::size_t count) {
  return std::make_shared<SpareNamespaces>(worker, count);
}

Namespaces::Namespaces(std::string state_dir, std::string link_dir, std::shared_ptr<SpareNamespaces> spare)
    : state_dir_(std::move(state_dir)), link_dir_(std::move(link_dir)), spare_(std::move(spare)) {}

std::string Namespaces::pin_path(const Id& container) const { return pins_dir() + "/" + container; }

bool Namespaces::is_pinned(const Id& container) const { return netns::is_pinned(pin_path(container)); }

std::vector<Id> Namespaces::pins() const {
  std::vector<Id> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(pins_dir(), absent)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with('.')) found.push_back(name);
  }
  return found;
}

Inside Namespaces::made_or_opened(const std::string& source) {
  if (!source.empty()) return Inside(netns::Namespace::open(source));
  return spare_ ? spare_->take() : new_one();
}

void Namespaces::pin(const Id& container, const std::string& source) {
  open_.erase(container);
  netns::prepare_pin_directory(pins_dir());
  // An empty file may have been left by a process that was killed between making it and mounting on it.
  if (!is_pinned(container)) netns::unpin(pin_path(container));
  auto made = made_or_opened(source);
  netns::pin(made.handle(), pin_path(container));
  // The steps that follow want to go inside, and it is open already.
  try {
    if (open_.size() < kMostOpen) open_.emplace(container, std::move(made));
  } catch (...) {
    netns::unpin(pin_path(container));
    throw;
  }
}

void Namespaces::unpin(const std::vector<Id>& containers) {
  for (const auto& container : containers) open_.erase(container);  // our own descriptors would keep it alive
  netns::unpin(pins_dir(), containers);
}

Id Namespaces::linked_container(const std::string& path) const {
  std::error_code not_a_link;
  const fs::path target = fs::read_symlink(path, not_a_link);
  return !not_a_link && target.parent_path() == pins_dir() ? target.filename().string() : Id();
}

void Namespaces::link(const Id& container, const std::string& name) {
  const std::string path = link_dir_ + "/" + name;
  const std::string attempt = fmt::format("cannot make '{}'", path);
  std::error_code failed;
  fs::create_directories(link_dir_, failed);
  if (failed) throw system_failure(fmt::format("cannot make '{}'", link_dir_), failed.value());
  const std::string target = pin_path(container);
  if (::symlink(target.c_str(), path.c_str()) == 0) return;
  if (errno != EEXIST) throw system_failure(attempt, errno);
  const Id present = linked_container(path);
  if (present == container) return;
  if (present.empty()) {
    throw Error(ErrorKind::conflict, fmt::format("{}: there is one already, and it is not minibridge's", attempt), {},
                EEXIST);
  }
  // Left by a container that is gone. Renaming replaces it in one go.
  const std::string beside = path + "~";
  ::unlink(beside.c_str());
  if (::symlink(target.c_str(), beside.c_str()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    throw system_failure(attempt, errno);
  }
}

void Namespaces::unlink(const Id& container, const std::string& name) {
  // Only the exact one: meanwhile another container may have taken the name.
  if (!is_linked(container, name)) return;
  const std::string path = link_dir_ + "/" + name;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw system_failure(fmt::format("cannot remove '{}'", path), errno);
}

bool Namespaces::is_linked(const Id& container, const std::string& name) const {
  return linked_container(link_dir_ + "/" + name) == container;
}

std::multimap<Id, std::string> Namespaces::links() const {
  std::multimap<Id, std::string> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(link_dir_, absent)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kLinkPrefix)) continue;
    if (Id container = linked_container(entry.path()); !container.empty()) found.emplace(std::move(container), name);
  }
  return found;
}

bool Namespaces::can_link() const {
  fs::path place = link_dir_;
  std::error_code ignored;
  while (!fs::exists(place, ignored) && place.has_relative_path()) place = place.parent_path();
  // With the slash only a directory will do.
  return ::access((place / "").c_str(), W_OK | X_OK) == 0;
}

Inside& Namespaces::inside(const Id& container) {
  const auto present = open_.find(container);
  if (present != open_.end()) return present->second;
  if (open_.size() >= kMostOpen) open_.clear();
  return open_.emplace(container, Inside(netns::Namespace::open(pin_path(container)))).first->second;
}

}  // namespace mb::kernel
