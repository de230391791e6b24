// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/store/document.h"

namespace mb::store {
namespace {

constexpr std::uint32_t kApplicationId = 0x6d696e69;  // "mini": tells our files from other programs'
constexpr std::uint32_t kVersion = 4;

constexpr const char* kSchema = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE networks(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, bridge TEXT NOT NULL UNIQUE, document TEXT NOT NULL);
CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, status INTEGER NOT NULL, document TEXT NOT NULL);
CREATE INDEX containers_running ON containers(id) WHERE status = 1;
-- `presence`: 0 does not run, 1 runs, 2 runs and may read the names of others from its /etc/hosts.
CREATE TABLE endpoints(network TEXT NOT NULL, container TEXT NOT NULL, presence INTEGER NOT NULL,
                       PRIMARY KEY(network, container)) WITHOUT ROWID;
CREATE INDEX endpoints_present ON endpoints(network, presence) WHERE presence > 0;
-- An address that was given out once stays here; `container` is empty while it rests, `chosen` tells that the program chose it.
CREATE TABLE leases(network TEXT NOT NULL, address BLOB NOT NULL, container TEXT NOT NULL, chosen INTEGER NOT NULL,
                    released INTEGER NOT NULL, PRIMARY KEY(network, address)) WITHOUT ROWID;
CREATE INDEX leases_resting ON leases(network, released) WHERE container = '';
CREATE TABLE host_ports(protocol INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, host_address BLOB NOT NULL,
                        container TEXT NOT NULL, container_first INTEGER NOT NULL, PRIMARY KEY(protocol, first, host_address)) WITHOUT ROWID;
CREATE TABLE sysctls(name TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
)sql";

// Family and bytes: sorts as addresses do.
std::string key_of(const IpAddress& address) {
  std::string key(1, address.family() == Family::v4 ? '4' : '6');
  key.append(reinterpret_cast<const char*>(address.bytes().data()), address.size());
  return key;
}

IpAddress address_of(const std::string& key) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 1; i < key.size() && i <= bytes.size(); ++i) bytes.at(i - 1) = static_cast<std::uint8_t>(key[i]);
  if (key.starts_with('6')) return IpAddress::v6(bytes);
  return IpAddress::v4(static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
                       static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3]);
}

// What the first bytes of the file say (sqlite.org/fileformat2.html, 1.3), asked without SQL, which would cost more
// than all the rest of opening.
struct Header {
  bool is_empty = true;  // or not there
  bool is_sqlite = false;
  std::uint32_t user_version = 0;
  std::uint32_t application_id = 0;
};

// Through SQLite's own descriptor: closing another one would end the locks that this process has on the file.
Header read_header(const SQLite::Database& db) {
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  std::array<char, 100> bytes{};
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db.getHandle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  sqlite3_int64 size = 0;
  if (file == nullptr || file->pMethods == nullptr || file->pMethods->xFileSize(file, &size) != SQLITE_OK || size == 0)
    return {};
  const bool whole = file->pMethods->xRead(file, bytes.data(), static_cast<int>(bytes.size()), 0) == SQLITE_OK;
  const auto number = [&bytes](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes.at(i));
    return value;
  };
  return {false, whole && std::string_view(bytes.data(), kMagic.size()) == kMagic, number(60), number(68)};
}

std::string blob(const SQLite::Column& column) {
  return {static_cast<const char*>(column.getBlob()), static_cast<std::size_t>(column.getBytes())};
}

struct stat file_at(const std::string& path) {
  struct stat found {};
  [[maybe_unused]] const int absent = ::stat(path.c_str(), &found);
  return found;
}

[[noreturn]] void translate(const SQLite::Exception& problem, const std::string& path) {
  const int code = problem.getErrorCode();
  if (code == SQLITE_FULL) {
    throw Error(ErrorKind::failed, fmt::format("cannot write the state in '{}': no space left", path),
                "make room there, or name another --state-dir", ENOSPC);
  }
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
    throw Error(ErrorKind::failed,
                fmt::format("'{}' is not a state file of minibridge, or is damaged ({})", path, problem.what()),
                "move it away, or name another --state-dir; nothing was changed");
  }
  if (code == SQLITE_CANTOPEN || code == SQLITE_PERM || code == SQLITE_READONLY) {
    throw Error(ErrorKind::privilege, fmt::format("cannot open the state file '{}': {}", path, problem.what()),
                "--state-dir names another place for the state", EACCES);
  }
  throw Error(ErrorKind::failed, fmt::format("the state in '{}' cannot be used: {}", path, problem.what()),
              "is there room left in that file system?");
}

}  // namespace

std::string read_boot_id() {
  const netns::UniqueFd file(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char id[64];
  const ssize_t got = read(file.get(), id, sizeof id);
  return got > 0 ? std::string(id, static_cast<std::size_t>(got - 1)) : std::string();  // without the end of line
}

namespace {

// A statement in use; afterwards it holds no lock on the file.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  ~Query() { statement_.tryReset(); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  template <class Value>
  void bind(int index, const Value& value) {
    statement_.bind(index, value);
  }
  void bind_blob(int index, const std::string& bytes) {
    statement_.bind(index, static_cast<const void*>(bytes.data()), static_cast<int>(bytes.size()));
  }
  bool step() { return statement_.executeStep(); }
  int exec() { return statement_.exec(); }
  SQLite::Column column(int index) { return statement_.getColumn(index); }

 private:
  SQLite::Statement& statement_;
};

}  // namespace

struct Store::Database {
  Database(std::string db_path, std::string marker, int flags)
      : path(std::move(db_path)), marker_path(std::move(marker)), db(path, flags) {}

  template <class Action>
  auto guarded(Action action) const {
    try {
      return action();
    } catch (const SQLite::Exception& problem) {
      translate(problem, path);
    }
  }

  // Compiling a statement costs more than running it, and most are run more than once.
  Query use(const char* sql) {
    auto& statement = statements[sql];
    if (!statement) statement = std::make_unique<SQLite::Statement>(db, sql);
    return Query(*statement);
  }

  bool in_transaction() const { return sqlite3_get_autocommit(db.getHandle()) == 0; }
  void begin() {
    if (!in_transaction()) use("BEGIN").exec();
  }
  // In a transaction of its own, or in the one that reading has begun.
  template <class Action>
  void begin(Action action) {
    begin();
    try {
      action();
    } catch (...) {
      abandon();
      throw;
    }
  }
  void end() {
    try {
      use("COMMIT").exec();
    } catch (...) {
      abandon();
      throw;
    }
  }
  void abandon() {
    if (in_transaction()) db.tryExec("ROLLBACK");
  }
  template <class Action>
  void commit(Action action) {
    begin(action);
    end();
  }

  void set_meta(const std::string& key, const std::string& value) {
    auto insert = use("INSERT INTO meta VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value");
    insert.bind(1, key);
    insert.bind(2, value);
    insert.exec();
  }

  // Asked only where there is a holder, which there mostly is not: cheaper than a join.
  std::string name_of(const Id& container) {
    auto query = use("SELECT name FROM containers WHERE id = ?");
    query.bind(1, container);
    return query.step() ? query.column(0).getString() : container;
  }

  void create(const World& world, const std::string& fresh_state_id);
  void check(const Header& header) const;
  void check(const World& world);
  void release(const Container& container, const Container* kept);
  void put(const Container& container);
  void drop(const Container& container);
  void put(const Network& network);
  void drop(const Network& network);

  std::string path;
  std::string marker_path;
  pid_t process = ::getpid();
  struct stat file {};
  SQLite::Database db;
  bool in_view = false;
  std::optional<std::vector<Network>> networks;  // as they are in the view; asked for several times by every verb
  std::map<std::string_view, std::unique_ptr<SQLite::Statement>> statements;  // by their text
  Identity identity;
};

namespace {

// Writers have their own lock (StateLock) and readers take one row after the other, so whoever meets somebody here is
// let in within microseconds. SQLite's own handler sleeps for milliseconds.
int wait_a_moment(void* /*unused*/, int attempts) noexcept {
  constexpr int kMost = 100'000;  // 10 seconds
  constexpr timespec kMoment{0, 100'000};
  ::nanosleep(&kMoment, nullptr);
  return attempts < kMost ? 1 : 0;
}

}  // namespace

void Store::Database::create(const World& world, const std::string& fresh_state_id) {
  commit([&] {
    db.exec(kSchema);
    set_meta("state_id", fresh_state_id);
    set_meta("namespace_cookie", std::to_string(world.namespace_cookie));
    set_meta("boot_id", world.boot_id);
    db.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, kVersion));
  });
}

void Store::Database::check(const Header& header) const {
  if (!header.is_sqlite) {
    throw Error(ErrorKind::failed, fmt::format("'{}' is not a state file of minibridge, or is damaged", path),
                "move it away, or name another --state-dir; nothing was changed");
  }
  if (header.application_id != kApplicationId) {
    throw Error(ErrorKind::failed, fmt::format("'{}' is a database of another program", path),
                "name another --state-dir; nothing was changed");
  }
  if (header.user_version != kVersion) {
    throw Error(ErrorKind::failed,
                fmt::format("'{}' was written by another version of minibridge (format {}, this is {})", path,
                            header.user_version, kVersion),
                "use that version to take everything down, then remove the state directory");
  }
}

void Store::Database::check(const World& world) {
  std::map<std::string, std::string> meta;
  auto query = use("SELECT key, value FROM meta");
  while (query.step()) meta[query.column(0).getString()] = query.column(1).getString();
  if (meta["boot_id"] != world.boot_id) {
    throw Error(ErrorKind::failed,
                fmt::format("the state in '{}' is of an earlier boot: what it describes is gone", path),
                "remove that directory to begin anew");
  }
  if (meta["namespace_cookie"] != std::to_string(world.namespace_cookie)) {
    throw Error(ErrorKind::failed, fmt::format("the state in '{}' belongs to another network namespace", path),
                "name another --state-dir for this one");
  }
  identity = Identity::from_state_id(meta["state_id"]);
}

// Lets go of the addresses that `kept` (the container as it will be) does not hold any more.
void Store::Database::release(const Container& container, const Container* kept) {
  const auto still_held = [&](const Id& network, const IpAddress& address) {
    if (kept == nullptr) return false;
    for (const auto& endpoint : kept->endpoints) {
      const auto* held = endpoint.address(address.family());
      if (endpoint.network == network && held != nullptr && held->address == address) return true;
    }
    return false;
  };
  for (const auto& endpoint : container.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (!held.address || still_held(endpoint.network, *held.address)) continue;
      auto update =
          use("UPDATE leases SET container = '', released = 1 + (SELECT coalesce(max(released), 0) FROM leases WHERE "
              "network = ?1 AND container = '') WHERE network = ?1 AND address = ?2");
      update.bind(1, endpoint.network);
      update.bind_blob(2, key_of(*held.address));
      update.exec();
    }
  }
}

void Store::Database::put(const Container& container) {
  auto row = use("INSERT INTO containers VALUES(?, ?, ?, ?)");
  row.bind(1, container.id);
  row.bind(2, container.name.str());
  row.bind(3, static_cast<int>(container.status));
  row.bind(4, to_document(container));
  row.exec();
  for (const auto& endpoint : container.endpoints) {
    auto place = use("INSERT INTO endpoints VALUES(?, ?, ?)");
    place.bind(1, endpoint.network);
    place.bind(2, container.id);
    place.bind(3, !container.wants_network() ? 0 : container.reads_names_from_hosts() ? 2 : 1);
    place.exec();
    for (const auto& held : endpoint.addresses) {
      if (!held.address) continue;
      // Only a resting address may change hands; one that is held by another container is an error of ours.
      auto lease =
          use("INSERT INTO leases VALUES(?1, ?2, ?3, ?4, 0) ON CONFLICT(network, address) DO UPDATE "
              "SET container = ?3, chosen = max(chosen, ?4) WHERE container IN ('', ?3)");
      lease.bind(1, endpoint.network);
      lease.bind_blob(2, key_of(*held.address));
      lease.bind(3, container.id);
      lease.bind(4, held.fixed ? 0 : 1);
      if (lease.exec() != 1) {
        throw Error(ErrorKind::conflict, fmt::format("address {} is held by another container", held.address->str()));
      }
    }
  }
  for (const auto& port : container.ports) {
    auto published = use("INSERT INTO host_ports VALUES(?, ?, ?, ?, ?, ?)");
    published.bind(1, static_cast<int>(port.protocol));
    published.bind(2, port.host_ports.first);
    published.bind(3, port.host_ports.last);
    published.bind_blob(4, key_of(port.host_address));
    published.bind(5, container.id);
    published.bind(6, port.container_ports.first);
    published.exec();
  }
}

void Store::Database::drop(const Container& container) {
  auto row = use("DELETE FROM containers WHERE id = ?");
  row.bind(1, container.id);
  row.exec();
  for (const auto& endpoint : container.endpoints) {
    auto statement = use("DELETE FROM endpoints WHERE network = ? AND container = ?");
    statement.bind(1, endpoint.network);
    statement.bind(2, container.id);
    statement.exec();
  }
  for (const auto& port : container.ports) {
    auto statement = use("DELETE FROM host_ports WHERE protocol = ? AND first = ? AND host_address = ?");
    statement.bind(1, static_cast<int>(port.protocol));
    statement.bind(2, port.host_ports.first);
    statement.bind_blob(3, key_of(port.host_address));
    statement.exec();
  }
}

void Store::Database::put(const Network& network) {
  auto row = use("INSERT INTO networks VALUES(?, ?, ?, ?)");
  row.bind(1, network.id);
  row.bind(2, network.name.str());
  row.bind(3, network.bridge.str());
  row.bind(4, to_document(network));
  row.exec();
}

void Store::Database::drop(const Network& network) {
  for (const char* sql : {"DELETE FROM networks WHERE id = ?", "DELETE FROM leases WHERE network = ?"}) {
    auto statement = use(sql);
    statement.bind(1, network.id);
    statement.exec();
  }
}

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;

std::unique_ptr<Store> Store::open(const std::string& state_dir, Access access, const World& world,
                                   const std::string& fresh_state_id) {
  std::string path = state_dir + "/state.db";
  int flags = SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX;
  if (access == Access::write) {
    flags |= SQLite::OPEN_CREATE;
  } else {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
      throw system_failure(fmt::format("cannot look at the state in '{}'", state_dir), error.value(),
                           "--state-dir names another place for the state");
    }
    // An empty one is of somebody who is about to begin.
    if (!std::filesystem::exists(status) || std::filesystem::file_size(path, error) == 0) {
      path = ":memory:";
      flags |= SQLite::OPEN_CREATE;
    }
  }
  try {
    auto database = std::make_unique<Database>(path, state_dir + "/unfinished", flags);
    sqlite3_busy_handler(database->db.getHandle(), wait_a_moment, nullptr);
    // Nothing here has to survive a power failure: after a boot the kernel is empty too.
    database->db.exec("PRAGMA synchronous = OFF");
    const Header header = read_header(database->db);
    if (header.is_empty) {
      database->create(world, fresh_state_id);
    } else {
      database->check(header);
    }
    database->check(world);
    database->file = file_at(path);
    return std::unique_ptr<Store>(new Store(std::move(database)));
  } catch (const SQLite::Exception& problem) {
    translate(problem, path);
  }
}

const Identity& Store::identity() const { return database_->identity; }

bool Store::is_current() const {
  const auto now = file_at(database_->path);
  return database_->process == ::getpid() && now.st_ino == database_->file.st_ino &&
         now.st_dev == database_->file.st_dev;
}

Store::View::View(const Store& store) : database_(*store.database_) {
  database_.guarded([&] { database_.begin(); });
  database_.networks.reset();
  database_.in_view = true;
}

Store::View::~View() {
  database_.in_view = false;
  database_.abandon();  // nothing to end when a change has ended it
}

bool Store::marked() const { return ::access(database_->marker_path.c_str(), F_OK) == 0; }

void Store::set_marker() {
  const netns::UniqueFd file(::open(database_->marker_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (file.get() < 0) {
    throw system_failure(fmt::format("cannot make '{}'", database_->marker_path), errno,
                         "make room there, or name another --state-dir");
  }
}

void Store::clear_marker() {
  if (::unlink(database_->marker_path.c_str()) != 0 && errno != ENOENT)
    throw system_failure(fmt::format("cannot remove '{}'", database_->marker_path), errno);
}

void Store::write(const Delta& delta) {
  stage(delta);
  commit();
}

void Store::commit() {
  database_->guarded([&] { database_->end(); });
}

void Store::abandon() { database_->abandon(); }

void Store::stage(const Delta& delta) {
  database_->networks.reset();
  database_->in_view = false;
  database_->guarded([&] {
    database_->begin([&] {
      // What goes makes room first: a port or an address may change hands within one delta.
      for (const auto& change : delta.containers) {
        if (!change.before) continue;
        database_->drop(*change.before);
        database_->release(*change.before, change.after ? &*change.after : nullptr);
      }
      for (const auto& network : delta.dropped_networks) database_->drop(network);
      for (const auto& network : delta.added_networks) database_->put(network);
      for (const auto& change : delta.containers) {
        if (change.after) database_->put(*change.after);
      }
    });
  });
}

std::map<std::string, SysctlState> Store::sysctls_before() const {
  return database_->guarded([&] {
    std::map<std::string, SysctlState> all;
    auto query = database_->use("SELECT name, document FROM sysctls");
    while (query.step()) all[query.column(0).getString()] = sysctl_from(query.column(1).getString());
    return all;
  });
}

void Store::remember_sysctl(const std::string& name, const SysctlState& before) {
  database_->guarded([&] {
    database_->commit([&] {
      auto insert = database_->use("INSERT INTO sysctls VALUES(?, ?) ON CONFLICT(name) DO NOTHING");
      insert.bind(1, name);
      insert.bind(2, to_document(before));
      insert.exec();
    });
  });
}

void Store::forget_sysctls(const std::vector<std::string>& names) {
  if (names.empty()) return;
  database_->guarded([&] {
    database_->commit([&] {
      for (const auto& name : names) {
        auto statement = database_->use("DELETE FROM sysctls WHERE name = ?");
        statement.bind(1, name);
        statement.exec();
      }
    });
  });
}

std::vector<Container> Store::running() const {
  return database_->guarded([&] {
    std::vector<Container> all;
    // The number stands in the text, or the partial index would not serve.
    static_assert(static_cast<int>(ContainerStatus::running) == 1);
    auto query = database_->use("SELECT document FROM containers WHERE status = 1");
    while (query.step()) all.push_back(container_from(query.column(0).getString()));
    return all;
  });
}

std::vector<Network> Store::networks() const {
  if (database_->networks) return *database_->networks;
  return database_->guarded([&] {
    std::vector<Network> all;
    auto query = database_->use("SELECT document FROM networks ORDER BY rowid");
    while (query.step()) all.push_back(network_from(query.column(0).getString()));
    if (database_->in_view) database_->networks = all;
    return all;
  });
}

std::vector<Container> Store::containers() const {
  return database_->guarded([&] {
    std::vector<Container> all;
    auto query = database_->use("SELECT document FROM containers ORDER BY rowid");
    while (query.step()) all.push_back(container_from(query.column(0).getString()));
    return all;
  });
}

std::vector<Container> Store::present_in(const Id& network) const {
  return database_->guarded([&] {
    std::vector<Container> all;
    auto query = database_->use(
        "SELECT document FROM endpoints JOIN containers ON containers.id = endpoints.container "
        "WHERE network = ? AND presence > 0 ORDER BY containers.rowid");
    query.bind(1, network);
    while (query.step()) all.push_back(container_from(query.column(0).getString()));
    return all;
  });
}

bool Store::somebody_in(const Id& network, Presence presence, const std::set<Id>& except) const {
  return database_->guarded([&] {
    auto query = database_->use("SELECT container FROM endpoints WHERE network = ? AND presence > 0 AND presence >= ?");
    query.bind(1, network);
    query.bind(2, static_cast<int>(presence));
    while (query.step()) {
      if (!except.contains(query.column(0).getString())) return true;
    }
    return false;
  });
}

std::optional<Container> Store::find_container(std::string_view name_or_id) const {
  const std::string text(name_or_id);
  return database_->guarded([&]() -> std::optional<Container> {
    auto named = database_->use("SELECT document FROM containers WHERE name = ?");
    named.bind(1, text);
    if (named.step()) return container_from(named.column(0).getString());
    if (text.empty() || text.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;  // no id
    auto beginning = database_->use("SELECT document FROM containers WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2");
    beginning.bind(1, text);
    if (!beginning.step()) return std::nullopt;
    auto found = container_from(beginning.column(0).getString());
    if (beginning.step()) return std::nullopt;
    return found;
  });
}

std::size_t Store::endpoint_count(const Id& network) const {
  return database_->guarded([&] {
    auto query = database_->use("SELECT count(*) FROM endpoints WHERE network = ?");
    query.bind(1, network);
    query.step();
    return static_cast<std::size_t>(query.column(0).getInt64());
  });
}

std::optional<std::string> Store::address_holder(const Id& network, const IpAddress& address) const {
  return database_->guarded([&]() -> std::optional<std::string> {
    auto query = database_->use("SELECT container FROM leases WHERE network = ? AND address = ?");
    query.bind(1, network);
    query.bind_blob(2, key_of(address));
    if (!query.step()) return std::nullopt;
    const auto holder = query.column(0).getString();
    return holder.empty() ? std::nullopt : std::optional(database_->name_of(holder));
  });
}

std::optional<IpAddress> Store::highest_given(const Id& network, Family family) const {
  return database_->guarded([&]() -> std::optional<IpAddress> {
    auto query = database_->use(
        "SELECT address FROM leases WHERE network = ? AND address >= ? AND address < ? AND chosen = 1 "
        "ORDER BY address DESC LIMIT 1");
    query.bind(1, network);
    query.bind_blob(2, family == Family::v4 ? "4" : "6");
    query.bind_blob(3, family == Family::v4 ? "5" : "7");
    if (!query.step()) return std::nullopt;
    return address_of(blob(query.column(0)));
  });
}

std::vector<IpAddress> Store::released(const Id& network, Family family) const {
  return database_->guarded([&] {
    std::vector<IpAddress> all;
    auto query = database_->use("SELECT address FROM leases WHERE network = ? AND container = '' ORDER BY released");
    query.bind(1, network);
    while (query.step()) {
      const auto address = address_of(blob(query.column(0)));
      if (address.family() == family) all.push_back(address);
    }
    return all;
  });
}

std::vector<PortHolder> Store::published_in(Protocol protocol, const PortRange& range) const {
  return database_->guarded([&] {
    std::vector<PortHolder> all;
    auto query = database_->use(
        "SELECT container, host_address, first, last, container_first FROM host_ports "
        "WHERE protocol = ? AND first <= ? AND last >= ?");
    query.bind(1, static_cast<int>(protocol));
    query.bind(2, range.last);
    query.bind(3, range.first);
    while (query.step()) {
      const auto port = [&query](int column) { return static_cast<std::uint16_t>(query.column(column).getInt()); };
      PublishedPort published{address_of(blob(query.column(1))), {port(2), port(3)}, {}, protocol};
      published.container_ports = {port(4), static_cast<std::uint16_t>(port(4) + (port(3) - port(2)))};
      all.push_back({database_->name_of(query.column(0).getString()), published});
    }
    return all;
  });
}

namespace {

// A supervisor that is about to begin holds its byte already and waits for the lock between processes. One that comes while
// the file is locked here waits, and notices then that it has gone.
void remove_unless_somebody_lives(const std::string& alive_file) {
  const netns::UniqueFd file(open(alive_file.c_str(), O_RDWR | O_CLOEXEC));
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  if (file && fcntl(file.get(), F_OFD_SETLK, &whole_file) == 0) std::filesystem::remove(alive_file);
}

}  // namespace

void remove_state(const std::string& state_dir) {
  // The lock file goes last, so that whoever waits for it finds an empty directory, not half a state.
  for (const char* name : {"state.db", "state.db-journal", "unfinished"})
    std::filesystem::remove(state_dir + "/" + name);
  remove_unless_somebody_lives(state_dir + "/alive");
  std::error_code ignored;  // a directory that still holds something of somebody else stays
  for (const char* name : {"containers", "netns", "lock"}) std::filesystem::remove(state_dir + "/" + name, ignored);
  std::filesystem::remove(state_dir, ignored);
}

}  // namespace mb::store
