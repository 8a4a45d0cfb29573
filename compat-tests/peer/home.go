package peer

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed pom.xml
var pom []byte

// Root returns the folder of the repository, found upwards of the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "compat-tests", "peer", "pom.xml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("find the repository above %s: no compat-tests/peer/pom.xml", dir)
		}
	}
}

// Home is the folder that holds Apache Kafka's jars (broker/ and tools/) and a formatted storage folder (format/).
type Home string

// KafkaHome lays Apache Kafka out once, with Maven, and returns where it lies. A folder that is complete is only looked at.
func KafkaHome(ctx context.Context) (Home, error) {
	dir := os.Getenv("KAFKA_HOME_CACHE")
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cache", "kafka")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	h := Home(dir)
	pomFile := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return "", err
	}
	for _, part := range []string{"broker", "tools"} {
		if err := h.resolve(ctx, pomFile, part); err != nil {
			return "", err
		}
	}
	return h, h.format(ctx)
}

// resolve copies the jars of one profile of the pom. It is done when the jar that names the profile is there, which
// Maven copies into a folder that is renamed at the end, so that an interrupted run leaves nothing half done.
func (h Home) resolve(ctx context.Context, pomFile, profile string) error {
	dir := filepath.Join(string(h), profile)
	if _, err := os.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pomFile, "-P", profile, "dependency:copy-dependencies", "-DoutputDirectory="+part).CombinedOutput()
	if err != nil {
		return fmt.Errorf("resolve Apache Kafka's %s jars with Maven: %w\n%s", profile, err, out)
	}
	return os.Rename(part, dir)
}

// clusterID is the id of every cluster this package formats.
const clusterID = "peerpeerpeerpeerpeerpA"

// format keeps one formatted storage folder, which StartKafka copies: formatting costs a start of the JVM each time.
func (h Home) format(ctx context.Context) error {
	dir := filepath.Join(string(h), "format")
	if _, err := os.Stat(filepath.Join(dir, "meta.properties")); err == nil {
		return nil
	}
	part := dir + ".part"
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(dir)); err != nil {
		return err
	}
	conf := filepath.Join(string(h), "format.properties")
	text := strings.Join([]string{
		"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@127.0.0.1:19999",
		"listeners=PLAINTEXT://127.0.0.1:19998,CONTROLLER://127.0.0.1:19999", "controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "log.dirs=" + part,
	}, "\n") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "java", "-cp", h.BrokerClasspath(), "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", conf).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format a storage folder: %w\n%s", err, out)
	}
	return os.Rename(part, dir)
}

// BrokerClasspath is the class path of the broker, which also holds the Java client of the same version.
func (h Home) BrokerClasspath() string { return filepath.Join(string(h), "broker", "*") }

// ToolsClasspath is the class path of Kafka's command-line tools.
func (h Home) ToolsClasspath() string { return filepath.Join(string(h), "tools", "*") }
