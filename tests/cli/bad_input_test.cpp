// SPDX-License-Identifier: GPL-2.0-or-later
//
// What cannot be done is refused in one sentence with a hint, with the right exit status, on standard error, and nothing
// is changed: not the host, not the state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>

#include "tests/support/program.h"
#include "tests/support/snapshot.h"
#include "tests/support/traffic.h"
#include "tests/support/world.h"

namespace mb::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Bad {
  std::string words;
  std::string kind;
  std::string message;  // part of it
};

int status_of(const std::string& words, const std::string& kind) {
  static const std::map<std::string, int> kStatuses{
      {"failed", 1}, {"not_found", 1}, {"usage", 2}, {"privilege", 3}, {"conflict", 4}};
  const bool as_docker = words.starts_with("run ") || words.starts_with("exec ") || words == "run";
  return as_docker ? 125 : kStatuses.at(kind);
}

void expect_refused(const Bad& bad) {
  SCOPED_TRACE("minibridge " + bad.words);
  const auto plain = Program::mb(bad.words);
  EXPECT_EQ(plain.status, status_of(bad.words, bad.kind));
  EXPECT_THAT(plain.out, IsEmpty());
  const auto lines = lines_of(plain.err);
  ASSERT_EQ(lines.size(), 2U) << "one sentence and a hint:\n" << plain.err;
  EXPECT_THAT(lines[0], StartsWith("error: "));
  EXPECT_THAT(lines[0], HasSubstr(bad.message));
  EXPECT_THAT(lines[0], testing::Not(testing::EndsWith("."))) << "a sentence without a full stop";
  EXPECT_THAT(lines[1], StartsWith("hint: "));

  const auto as_json = Program::mb("--format json " + bad.words);
  EXPECT_EQ(as_json.status, plain.status);
  EXPECT_THAT(as_json.out, IsEmpty());
  const auto parsed = nlohmann::json::parse(as_json.err, nullptr, false);
  ASSERT_TRUE(parsed.is_object() && parsed.contains("error")) << as_json.err;
  EXPECT_EQ(parsed["error"]["kind"], bad.kind);
  EXPECT_THAT(parsed["error"]["message"].get<std::string>(), HasSubstr(bad.message));
  EXPECT_THAT(parsed["error"]["hint"].get<std::string>(), testing::Not(IsEmpty()));
  EXPECT_TRUE(parsed["error"]["causes"].is_array());
}

struct BadInput : testing::Test {
  BadInput() {
    Program::must_mb("network create --subnet 10.20.0.0/24 n1");
    Program::must_mb("create --network n1 -p 8080:80 -p 9000-9009:80-89 -p 127.0.0.1:7070:70 c1");
    Program::must_mb("create c2");
  }

  void expect_all_refused(const std::vector<Bad>& table) {
    const auto host = snapshot_host();
    const auto state = program.look_at_state();
    for (const auto& bad : table) {
      expect_refused(bad);
      EXPECT_EQ(program.look_at_state(), state) << bad.words;
    }
    EXPECT_EQ(snapshot_host(), host);
    EXPECT_EQ(Program::mb("repair --check").status, 0);
  }

  World world;
  Program program;
};

TEST_F(BadInput, PublishSpecifications) {
  expect_all_refused({
      {"create -p 0:80 x", "usage", "a port must be 1 to 65535"},
      {"create -p 80:0 x", "usage", "a port must be 1 to 65535"},
      {"create -p 65536:80 x", "usage", "a port must be 1 to 65535"},
      {"create -p 8085:65536 x", "usage", "a port must be 1 to 65535"},
      {"create -p 9010-9001:80-89 x", "usage", "the range 9010-9001 is reversed"},
      {"create -p 8000-8010:80-85 x", "usage", "11 host ports for 6 container ports"},
      {"create -p 8000-8010:80 x", "usage", "11 host ports for 1 container ports"},
      {"create -p 8001:80/icmp x", "usage", "expected tcp, udp or sctp"},
      {"create -p 8001:80:81:82 x", "usage", "is not a publish specification"},
      {"create -p '' x", "usage", "is not a publish specification"},
      {"create -p http x", "usage", "is not a publish specification"},
      {"create -p 203.0.113.1:8001:80 x", "usage", "cannot publish on 203.0.113.1: the host has no such address"},
      {"create -p 8001-8010:80-89 -p 8010:90 x", "conflict", "it overlaps"},
      {"run -d -p 0:80", "usage", "a port must be 1 to 65535"},
      {"publish c1 0:80", "usage", "a port must be 1 to 65535"},
      {"unpublish c1 8080:81", "not_found", "has not published '8080:81/tcp'"},
      {"create --network none -p 8001:80 x", "usage", "publish"},
      {"create --expose 0 x", "usage", "'0' is not a port to expose: a port must be 1 to 65535"},
      {"create --expose 8080:80 x", "usage", "'8080:80' is not a port to expose: it names one of the host"},
      {"create --expose 90-80 x", "usage", "the range 90-80 is reversed"},
      {"run --network none -P --expose 80", "usage", "--publish-all has no meaning with --network none"},
      {"run --network host -P --expose 80", "usage", "--publish-all has no meaning with --network host"},
  });
}

TEST_F(BadInput, PortsInUse) {
  const TcpServer tcp(world.host(), "0.0.0.0", 8099);
  const UdpServer udp(world.host(), "127.0.0.1", 8098);
  const std::string we = " (pid " + std::to_string(::getpid()) + ") listens on ";
  expect_all_refused({
      {"create -p 8080:80 x", "conflict", "container 'c1' has published '8080 -> 80/tcp'"},
      {"create -p 8070-8090:70-90 x", "conflict", "container 'c1' has published"},
      {"create -p 9005:80 x", "conflict", "container 'c1' has published '9000-9009 -> 80-89/tcp'"},
      {"create -p 127.0.0.1:8080:80 x", "conflict", "container 'c1' has published"},
      {"create -p 7070:80 x", "conflict", "container 'c1' has published '127.0.0.1:7070 -> 70/tcp'"},
      {"run -d -p 8080:80", "conflict", "container 'c1' has published"},
      {"run -p 8080:80 -- true", "conflict", "container 'c1' has published"},
      {"publish c2 8080:80", "conflict", "container 'c1' has published"},
      {"create -p 8099:80 x", "conflict", we + "0.0.0.0:8099/tcp of the host"},
      {"create -p 127.0.0.1:8099:80 x", "conflict", we + "0.0.0.0:8099/tcp of the host"},
      {"create -p 8090-8100:90-100 x", "conflict", we + "0.0.0.0:8099/tcp of the host"},
      {"create -p 8098:80/udp x", "conflict", we + "127.0.0.1:8098/udp of the host"},
      {"publish c2 8099:80", "conflict", we + "0.0.0.0:8099/tcp of the host"},
  });
  // What does not collide is free.
  Program::must_mb("create -p 8098:80 -p 8099:80/udp -p 8080:80/udp -p 198.51.100.1:8098:80/udp ok");
}

TEST_F(BadInput, Addresses) {
  expect_all_refused({
      {"create --network n1 --ip 10.21.0.5 x", "usage", "it is outside the subnet"},
      {"create --network n1 --ip 10.20.0.2 x", "conflict", "address 10.20.0.2 is taken: container 'c1' has it"},
      {"create --network n1 --ip 10.20.0.1 x", "usage", "it is the gateway's"},
      {"create --network n1 --ip 10.20.0.0 x", "usage", "it is the network's own"},
      {"create --network n1 --ip 10.20.0.255 x", "usage", "it is the broadcast address"},
      {"create --network n1 --ip 10.20.0 x", "usage", "is not an IPv4 address"},
      {"create --network n1 --ip 10.20.0.256 x", "usage", "is not an IPv4 address"},
      {"create --network n1 --network default --ip 10.20.0.9 x", "usage", "--network-alias need exactly one network"},
      {"create --network n1 --ip 10.20.0.9 x y", "conflict", "address 10.20.0.9 is taken"},
      {"create --mac-address 01:00:5e:00:00:01 x", "usage", "a multicast address cannot belong"},
      {"create --mac-address 02:00 x", "usage", "is not a MAC address"},
      {"run --network n1 --ip 10.20.0.2 -- true", "conflict", "container 'c1' has it"},
  });
}

TEST_F(BadInput, Networks) {
  must("ip route add 10.99.0.0/16 via 198.51.100.9 && ip route add 10.98.0.0/16 via 198.51.100.9 table 77");
  expect_all_refused({
      {"network create --subnet 10.20.0.128/25 n2", "conflict", "overlaps 10.20.0.0/24 of network 'n1'"},
      {"network create --subnet 10.0.0.0/8 n2", "conflict", "overlaps"},
      {"network create --subnet 198.51.100.0/28 n2", "conflict", "overlaps the host's route to 198.51.100.0/24 on up0"},
      {"network create --subnet 10.99.5.0/24 n2", "conflict", "overlaps the host's route to 10.99.0.0/16"},
      {"network create --subnet 10.98.5.0/24 n2", "conflict", "overlaps the host's route to 10.98.0.0/16"},
      {"network create --subnet 10.30.0.0/24 --subnet 10.31.0.0/24 n2", "usage", "a network has one IPv4 subnet"},
      {"network create --subnet 10.30.0.0/31 n2", "usage", "no room for a gateway and a container"},
      {"network create --subnet 10.30.0.5/24 n2", "usage", "host bits are set"},
      {"network create --subnet 10.30.0.0/33 n2", "usage", "the prefix length must be 0 to 32"},
      {"network create --subnet 10.30.0.0 n2", "usage", "is not a subnet"},
      {"network create --subnet 127.5.0.0/16 n2", "usage", "cannot be used for containers"},
      {"network create --subnet 10.30.0.0/24 --gateway 10.31.0.1 n2", "usage", "it is outside the subnet"},
      {"network create --subnet 10.30.0.0/24 --gateway 10.30.0.255 n2", "usage", "it is the broadcast address"},
      {"network create --subnet 10.30.0.0/24 --ip-range 10.31.0.0/25 n2", "usage", "is not inside the subnet"},
      {"network create --subnet 10.30.0.0/24 --aux-address 10.31.0.1 n2", "usage", "is outside the subnet"},
      {"network create --gateway 10.30.0.1 n2", "usage", "needs the subnet"},
      {"network create --bridge-name sixteen-letters-x n2", "usage", "is not an interface name"},
      {"network create --bridge-name a/b n2", "usage", "is not an interface name"},
      {"network create --bridge-name up0 n2", "conflict", "'up0'"},
      {"network create --mtu 9 n2", "usage", "--mtu cannot be '9': expected a number from 68 to 65535"},
      {"network create --mtu abc n2", "usage", "--mtu cannot be 'abc': expected a number from 68 to 65535"},
      {"network create --icc=maybe n2", "usage", "--icc cannot be 'maybe': expected true or false"},
      {"network create --snat-to 198.51.100.1 --snat-to 198.51.100.2 n2", "usage", "--snat-to can be given only once"},
      {"network create --snat-to", "usage", "--snat-to needs a value"},
      {"network create", "usage", "'network create' needs a NAME"},
      {"network create --mtu 1000 --ipv6 n2", "usage", "IPv6 needs 1280"},
      {"network create --subnet 10.31.0.0/24 --ip-range 10.31.0.0/32 n2", "usage", "is left for a container"},
      {"network create --subnet 10.33.0.0/30 --aux-address 10.33.0.1 --aux-address 10.33.0.2 n2", "usage",
       "no address of 10.33.0.0/30 is left for the gateway"},
      {"network create --snat-to 127.0.0.1 n2", "usage", "nobody outside could answer it"},
      {"network create --snat-to 198.51.100.200 n2", "usage", "the host has no such address"},
      {"network create --snat-to here n2", "usage", "is not an IPv4 address"},
      {"network create --internal --snat-to 198.51.100.1 n2", "usage", "from an internal network none leaves"},
      {"network create --masquerade=false --snat-to 198.51.100.1 n2", "usage", "they keep their own source address"},
      {"network create --masquerade=perhaps n2", "usage", "--masquerade cannot be 'perhaps': expected true or false"},
      {"network create n1", "conflict", "there is a network 'n1' already"},
      {"network create host", "usage", "'host' has a meaning of its own"},
      {"network create none", "usage", "'none' has a meaning of its own"},
      {"network create 'a b'", "usage", "is not a name"},
      {"network rm nowhere", "not_found", "there is no network 'nowhere'"},
      {"network rm n1", "conflict", "network 'n1' is in use by container 'c1'"},
      {"network inspect nowhere", "not_found", "there is no network 'nowhere'"},
      {"create --network nowhere x", "not_found", "there is no network 'nowhere'"},
      {"create --network n1 --network n1 x", "usage", "would be in network 'n1' twice"},
      {"run --network nowhere -- true", "not_found", "there is no network 'nowhere'"},
      {"run --network host --network none -- true", "usage", "--network host stands alone"},
      {"run --network none --network n1 -- true", "usage", "--network none stands alone"},
      {"run --network host -p 80", "usage", "--publish has no meaning with --network host"},
      {"run --network none -p 80", "usage", "--publish has no meaning with --network none"},
      {"run --network host --sysctl net.ipv4.ip_forward=0 -- true", "usage", "--network host"},
      {"create --network host x", "usage", "--network host leaves nothing to create"},
      {"run --network =n1 -- true", "usage", "the word before '=' is missing"},
      {"run --network name=n1,=x -- true", "usage", "the word before '=' is missing"},
  });
}

TEST_F(BadInput, PortsOfAnInternalNetwork) {
  Program::must_mb("network create --internal inner");
  Program::must_mb("create --network inner c3");
  const std::string message = "cannot publish ports: it is in internal networks only";
  expect_all_refused({{"create --network inner -p 8001:80 x", "usage", message},
                      {"run -d --network inner -p 8001:80", "usage", message},
                      {"publish c3 8001:80", "usage", message}});
}

TEST_F(BadInput, Names) {
  const std::string long_name(64, 'a');
  expect_all_refused({
      {"create " + long_name, "usage", "it is too long"},
      {"create 'a b'", "usage", "unexpected ' '"},
      {"create a/b", "usage", "unexpected '/'"},
      {"create -- -a", "usage", "'create' runs no command"},
      {"create ''", "usage", "is not a name"},
      {"create \"$(printf 'a\\nb')\"", "usage", "unexpected '\\x0a'"},
      {"create \"$(printf 'a\\033[31mb')\"", "usage", "is not a name"},
      {"create \"$(printf 'a\\377b')\"", "usage", "is not a name"},
      {"create c1", "conflict", "there is a container 'c1' already"},
      {"create x x", "conflict", "there is a container 'x' already"},
      {"create x c1", "conflict", "there is a container 'c1' already"},
      {"run --name c1 -- true", "conflict", "there is a container 'c1' already"},
      {"run --name a/b -- true", "usage", "unexpected '/'"},
      {"run -h 'a b' -- true", "usage", "is not a host name"},
      {"run -h . -- true", "usage", "'.' is not a host name: a part of it is empty at position 1"},
      {"create --network-alias a..b x", "usage", "a part of it is empty at position 3"},
      {"create --network-alias www. x", "usage", "a part of it is empty"},
      {"create --network-alias -x x", "usage", "unexpected '-' at position 1"},
      {"create --network name=default,alias=a.x- x", "usage", "unexpected '-' at position 4"},
      {"run -h " + long_name + " -- true", "usage", "it is too long"},
  });
  Program::must_mb("create " + std::string(63, 'a'));
}

TEST_F(BadInput, UnknownContainers) {
  std::vector<Bad> table;
  for (const std::string verb : {"start", "stop", "restart", "kill", "rm", "rm -f", "logs", "port", "wait"}) {
    table.push_back({verb + " nobody", "not_found", "there is no container 'nobody'"});
  }
  table.push_back({"exec nobody -- true", "not_found", "there is no container 'nobody'"});
  table.push_back({"inspect nobody", "not_found", "there is no container or network 'nobody'"});
  table.push_back({"rules nobody", "not_found", "'nobody'"});
  table.push_back({"publish nobody 80", "not_found", "there is no container 'nobody'"});
  table.push_back({"unpublish nobody 80", "not_found", "there is no container 'nobody'"});
  table.push_back({"rm c1 nobody", "not_found", "there is no container 'nobody'"});
  for (const std::string verb : {"start", "stop", "kill", "logs", "wait"}) {
    table.push_back({verb + " c1", "conflict", "container 'c1' is a network namespace without a process"});
  }
  expect_all_refused(table);
}

TEST_F(BadInput, Words) {
  expect_all_refused({
      {"frobnicate", "usage", "there is no verb 'frobnicate'"},
      {"frobnicate x y", "usage", "there is no verb 'frobnicate'"},
      {"--frobnicate ps", "usage", "'ps' has no option '--frobnicate'"},
      {"--frobnicate", "usage", "there is no option '--frobnicate'"},
      {"ps --frobnicate", "usage", "'ps' has no option '--frobnicate'"},
      {"ps extra words", "usage", "'ps' does not take the word 'extra'"},
      {"network ls extra", "usage", "'network ls' does not take the word 'extra'"},
      {"--color sometimes ps", "usage", "--color cannot be 'sometimes': expected auto, always or never"},
      {"lab graph --format gif", "usage", "--format cannot be 'gif': expected text, mermaid or svg"},
      {"scenario show a b", "usage", "'scenario show' takes one NAME, not 2"},
      {"run", "usage", "there is nothing to run"},
      {"run -d", "usage", "there is nothing to run"},
      {"run --frobnicate", "usage", "--frobnicate"},
      {"exec c1", "usage", "a command is missing"},
      {"create", "usage", "'create' needs a NAME"},
      {"rm", "usage", "'rm' needs a NAME"},
      {"network", "usage", "a verb is missing after 'network'"},
      {"network frobnicate", "usage", "there is no verb 'frobnicate' in 'network'"},
      {"network frobnicate x", "usage", "there is no verb 'frobnicate' in 'network'"},
      {"lab frobnicate", "usage", "there is no verb 'frobnicate' in 'lab'"},
      {"scenario frobnicate", "usage", "there is no verb 'frobnicate' in 'scenario'"},
      {"plan network frobnicate", "usage", "there is no verb 'frobnicate' in 'network'"},
      {"stop c1 -- c2", "usage", "'stop' runs no command, so nothing can stand after '--'"},
      {"network rm -- n1", "usage", "'network rm' runs no command, so nothing can stand after '--'"},
      {"lab graph --topology article -- x", "usage", "'lab graph' runs no command, so nothing can stand after '--'"},
      {"plan", "usage", "a verb is missing after 'plan'"},
      {"plan frobnicate", "usage", "frobnicate"},
      {"kill -s NOSUCH c1", "usage", "'NOSUCH' is not a signal"},
      {"kill -s RTMIN+99 c1", "usage", "'RTMIN+99' is not a signal"},
      {"kill -s 0 c1", "usage", "'0' is not a signal"},
      {"stop -t soon c1", "usage", "--time cannot be 'soon': expected a number from 0 to 86400"},
      {"--state-dir '' ps", "usage", "the state directory has no name"},
      {"--state-dir /etc/passwd ps", "usage", "the state directory '/etc/passwd' is not a directory"},
      {"--state-dir /etc/passwd create x", "usage", "the state directory '/etc/passwd' is not a directory"},
      {"create --netns /run/nowhere x", "failed", "cannot open network namespace '/run/nowhere': No such file"},
      {"create --netns /etc/passwd x", "failed", "'/etc/passwd'"},
      {"create --netns /run/nowhere --sysctl net.ipv4.ip_forward=1 x", "usage", "--sysctl is not for a namespace made"},
      {"create --netns /proc/self/ns/net x y", "usage", "--netns attaches one namespace"},
      {"echo --listen 0", "usage", "a port must be 1 to 65535"},
      {"echo --listen nowhere:80", "usage", "is not"},
      {"run -e =x -- true", "usage", "the name is missing"},
      {"run --env-file /run/nowhere -- true", "usage", "cannot read the environment file '/run/nowhere'"},
      {"run --env-file /run -- true", "usage", "cannot read the environment file '/run': Is a directory"},
      {"run -w here -- true", "usage", "is not an absolute path"},
      {"run -u nobody-at-all -- true", "usage", "nobody-at-all"},
      {"run -v /tmp -- true", "usage", "is not a volume"},
      {"run -v /tmp:x -- true", "usage", "must begin with '/'"},
      {"run -v /tmp:/x:rx -- true", "usage", "expected ro or rw"},
      {"run -v /run/nowhere:/x -- true", "usage", "does not exist on the host"},
      {"run --rootfs /run/nowhere -- true", "usage", "/run/nowhere"},
      {"run --rootfs /etc/passwd -- true", "usage", "is not a directory"},
      {"run --cap-add FOO -- true", "usage", "unknown capability 'FOO'"},
      {"run --sysctl kernel.hostname=x -- true", "usage", "only net.… belongs to a container's network"},
      {"run --sysctl net.ipv4.ip_forward -- true", "usage", "is not a sysctl"},
      {"run --add-host db -- true", "usage", "expected ':' and an address"},
      {"run --dns here -- true", "usage", "is not"},
  });
}

TEST_F(BadInput, ASysctlThatTheKernelDoesNotHaveIsUndone) {
  const auto host = snapshot_host();
  const auto state = program.look_at_state();
  for (const std::string verb : {"run --sysctl net.ipv4.nowhere=1 -- true", "run -d --sysctl net.ipv4.nowhere=1 -p 80",
                                 "create --sysctl net.ipv4.nowhere=1 x"}) {
    const auto refused = Program::mb(verb);
    EXPECT_NE(refused.status, 0);
    EXPECT_THAT(refused.err, HasSubstr("sysctl 'net.ipv4.nowhere': No such file or directory (ENOENT)"));
    EXPECT_THAT(refused.err, HasSubstr("hint: "));
    EXPECT_EQ(program.look_at_state(), state) << verb;
    EXPECT_EQ(snapshot_host(), host) << verb;
    EXPECT_EQ(Program::mb("repair --check").status, 0) << verb;
  }
}

TEST_F(BadInput, ACommandThatCannotBeRunHasAHint) {
  const std::string script = program.write("script", "#!/no/such/interpreter\n");
  must("chmod +x " + script);
  for (const auto& [command, status, message] :
       std::vector<std::tuple<std::string, int, std::string>>{{"nosuch", 127, "there is no command 'nosuch'"},
                                                              {"/no/such", 127, "there is no command '/no/such'"},
                                                              {script, 127, "its interpreter or loader is missing"},
                                                              {"''", 127, "the command has no name"},
                                                              {"/etc/passwd", 126, "cannot execute '/etc/passwd'"},
                                                              {"/etc", 126, "cannot execute '/etc'"}}) {
    for (const std::string verb : {"run -- ", "exec c1 -- "}) {
      const auto refused = Program::mb(verb + command);
      EXPECT_EQ(refused.status, status) << verb << command;
      const auto lines = lines_of(refused.err);
      ASSERT_EQ(lines.size(), 2U) << refused.err;
      EXPECT_THAT(lines[0], HasSubstr(message));
      EXPECT_THAT(lines[1], StartsWith("hint: "));
    }
  }
}

TEST_F(BadInput, TheHintLeadsToTheHelpOfTheVerb) {
  EXPECT_THAT(Program::mb("network create").err, HasSubstr("'minibridge network create --help'"));
  EXPECT_THAT(Program::mb("network create --label =x n2").err, HasSubstr("hint: "));
  EXPECT_THAT(Program::mb("network frobnicate").err,
              HasSubstr("its verbs are connect, create, disconnect, inspect, ls, prune and rm"));
  EXPECT_THAT(Program::mb("stop --frobnicate c1").err, HasSubstr("'minibridge stop --help'"));
}

// ------------------------------------------------------------------ the state

struct BadState : testing::Test {
  void execute(const std::string& sql) const {
    sqlite3* db = nullptr;
    fs::create_directories(program.state_dir());
    ASSERT_EQ(sqlite3_open((program.state_dir() + "/state.db").c_str(), &db), SQLITE_OK);
    char* problem = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &problem), SQLITE_OK) << problem;
    sqlite3_close(db);
  }

  [[nodiscard]] std::string file() const { return read_text(program.state_dir() + "/state.db"); }

  // Every verb that reads or writes the state says so and leaves the file as it is.
  void expect_refused_everywhere(const std::string& message) const {
    const auto host = snapshot_host();
    const auto before = file();
    for (const std::string words : {"ps", "network ls", "inspect c1", "create x", "run -d -p 8080:80", "rm c1",
                                    "repair", "repair --check", "rules", "down", "plan create x"}) {
      expect_refused({words, "failed", message});
      EXPECT_EQ(file(), before) << words;
    }
    EXPECT_EQ(snapshot_host(), host);
  }

  World world;
  Program program;
};

TEST_F(BadState, AFileThatIsNoDatabaseIsRefusedAndKept) {
  fs::create_directories(program.state_dir());
  std::ofstream(program.state_dir() + "/state.db") << "to be or not to be, that is the question\n";
  expect_refused_everywhere("is not a state file of minibridge, or is damaged");
}

TEST_F(BadState, ADatabaseOfAnotherProgramIsRefusedAndKept) {
  execute("CREATE TABLE bookmarks(url TEXT); INSERT INTO bookmarks VALUES('https://example.org')");
  expect_refused_everywhere("is a database of another program");
}

TEST_F(BadState, AStateOfAnotherVersionIsRefusedAndKept) {
  Program::must_mb("create c1");
  execute("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
  expect_refused_everywhere("was written by another version of minibridge");
  execute("PRAGMA user_version = 1");
}

TEST_F(BadState, AStateOfAnotherBootIsRefusedAndKept) {
  Program::must_mb("create c1");
  execute(
      "CREATE TABLE kept AS SELECT * FROM meta; UPDATE meta SET value = 'then' WHERE key = 'boot_id'; "
      "PRAGMA wal_checkpoint(TRUNCATE)");
  expect_refused_everywhere("is of an earlier boot");
  execute("INSERT OR REPLACE INTO meta SELECT * FROM kept");
}

TEST_F(BadState, AStateOfAnotherNamespaceIsRefusedAndKept) {
  Program::must_mb("create c1");
  const auto before = file();
  for (const std::string words : {"ps", "create x", "down", "repair"}) {
    const auto refused = sh(world.outside(), "minibridge " + words);
    EXPECT_EQ(refused.status, 1) << words;
    EXPECT_THAT(refused.err, HasSubstr("belongs to another network namespace")) << words;
    EXPECT_EQ(lines_of(refused.err).size(), 2U) << refused.err;
  }
  EXPECT_EQ(file(), before);
  EXPECT_EQ(Program::mb("repair --check").status, 0);
}

TEST_F(BadState, ADamagedRowIsNamedAndNothingIsChanged) {
  Program::must_mb("create c1");
  execute("CREATE TABLE kept AS SELECT * FROM containers; UPDATE containers SET document = '{\"name\":'");
  const auto host = snapshot_host();
  for (const std::string words : {"ps -a", "rm c1", "repair", "down"}) {
    const auto refused = Program::mb(words);
    EXPECT_EQ(refused.status, 1) << words;
    EXPECT_THAT(refused.err, testing::Not(HasSubstr("unexpected:"))) << words;
  }
  EXPECT_EQ(snapshot_host(), host);
  execute("INSERT OR REPLACE INTO containers SELECT * FROM kept; DROP TABLE kept");
}

TEST_F(BadState, AStateDirectoryThatCannotBeMadeIsSaid) {
  const auto in_file = program.write("file", "");
  for (const std::string& dir : {in_file + "/state", std::string("/proc/state")}) {
    const auto refused = sh("minibridge --state-dir " + dir + " create x");
    EXPECT_NE(refused.status, 0);
    EXPECT_THAT(refused.err, HasSubstr("cannot make the state directory '" + dir + "'"));
    EXPECT_EQ(lines_of(refused.err).size(), 2U) << refused.err;
  }
}

// Whatever the room, a verb either works or fails with the host as it was.
TEST_F(BadState, AFullDiskIsSaidAndNothingIsLeft) {
  const auto host = snapshot_host();
  int failed = 0;
  for (const std::string size : {"4k", "12k", "24k", "36k", "48k", "64k", "80k", "96k", "128k", "192k"}) {
    const auto mount = program.directory() + "/small";
    must("mkdir -p " + mount + " && mount -t tmpfs -o size=" + size + " tmpfs " + mount);
    const std::string option = "--state-dir " + mount + "/state ";
    const auto made = Program::mb(option + "create -p 8080:80 c1");
    if (made.status != 0) {
      ++failed;
      EXPECT_EQ(made.status, 1) << size << ": " << made.err;
      EXPECT_THAT(made.err, testing::AnyOf(HasSubstr("no space left"), HasSubstr("No space left"))) << size;
      EXPECT_THAT(made.err, HasSubstr("hint: ")) << size;
    } else {
      // That something is to go is written down first, which takes room as well.
      if (const auto down = Program::mb(option + "down"); down.status != 0) {
        EXPECT_THAT(down.err, HasSubstr("no space left")) << size;
        must("mount -o remount,size=1m " + mount);
        Program::must_mb(option + "down");
      }
    }
    EXPECT_EQ(snapshot_host(), host) << size << ": " << made.err;
    must("umount -l " + mount);
  }
  EXPECT_GE(failed, 3);
  EXPECT_LE(failed, 9);
}

// ------------------------------------------------------------------ privilege

TEST_F(BadState, WithoutPrivilegeOneSentenceSaysWhatIsMissing) {
  Program::must_mb("create c1");
  const auto host = snapshot_host();
  const auto state = program.look_at_state();
  for (const std::string words :
       {"create x", "run -d -p 80", "rm c1", "network create n1", "network rm default", "repair", "down",
        "publish c1 80", "exec c1 -- true", "kill c1", "doctor", "rules", "network connect default c1", "plan create x",
        "plan run -p 80", "plan rm c1", "plan down", "plan repair", "repair --check"}) {
    const auto refused = sh("setpriv --bounding-set=-all --inh-caps=-all minibridge " + words);
    EXPECT_EQ(refused.status, status_of(words, "privilege")) << words;
    const auto lines = lines_of(refused.err);
    ASSERT_EQ(lines.size(), 2U) << refused.err;
    EXPECT_THAT(lines[0], HasSubstr("needs CAP_NET_ADMIN and CAP_SYS_ADMIN")) << words;
    EXPECT_THAT(lines[1], HasSubstr("unshare --user --net --mount --map-root-user")) << words;
    EXPECT_THAT(lines[1], HasSubstr("'minibridge lab' needs none")) << words;
  }
  EXPECT_EQ(program.look_at_state(), state);
  EXPECT_EQ(snapshot_host(), host);
  // Looking needs none.
  EXPECT_EQ(sh("setpriv --bounding-set=-all --inh-caps=-all minibridge ps").status, 0);
}

}  // namespace
}  // namespace mb::test
