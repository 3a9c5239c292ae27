//! The documents about an image, and `imgraft verify`, which holds an image against its manifest.

use std::fs;

use serde_json::{Value, json};
use testkit::fixture::{Format, Options};
use testkit::judge::judge;
use testkit::partition::partition_range;

use crate::documents::root;
use crate::support::ci::{assert_schema, ci_judges, library};
use crate::support::{ROOT, World, noise};

const BUILD: &str = "build --base base.img --put app:/usr/bin/app:0755 --put tree:/srv/tree --chmod 0600:/etc/hostname \
                     --link /usr/bin/app:/usr/bin/link -o my.img --manifest my.img.manifest.json";

fn world() -> World {
    let world = World::new();
    world.file("app", noise(1, 300_000)).file("tree/a", "a\n").file("tree/b/c", "c\n");
    let names = ["app", "tree/a", "tree/b/c", "tree/b", "tree"].map(|name| world.path(name));
    judge("touch").args(["-d", "@1600000000"]).args(names).succeed();
    world
}

fn manifest(world: &World, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(world.path(name)).unwrap()).unwrap()
}

fn write(world: &World, name: &str, manifest: &Value) {
    fs::write(world.path(name), serde_json::to_vec(manifest).unwrap()).unwrap();
}

fn sha256sum(world: &World, name: &str) -> String {
    let said = judge("sha256sum").arg(world.path(name)).succeed().stdout;
    said.split_ascii_whitespace().next().unwrap().to_owned()
}

/// What `verify` finds, which is a no.
#[track_caller]
fn refused(world: &World, arguments: &str) -> String {
    let run = world.run(&format!("verify {arguments}"));
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(" is not what "), "{}", run.stdout);
    run.stdout
}

#[test]
fn a_manifest_says_what_was_made_and_is_as_its_schema_says() {
    let world = world();
    world.run(BUILD).succeeds();
    assert_schema(&root().join("docs/manifest.schema.json"), &[&world.path("my.img.manifest.json")]);
    let said = manifest(&world, "my.img.manifest.json");
    assert_eq!(said["base"]["sha256"], sha256sum(&world, "base.img"));
    assert_eq!(said["outputs"][0]["sha256"], sha256sum(&world, "my.img"));
    assert_eq!(said["inputs"][0]["sha256"], sha256sum(&world, "app"));
    let tree = judge("sh").args(["-c", "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"]);
    let tree = tree.current_dir(world.path("tree")).succeed().stdout;
    assert_eq!(said["inputs"][1]["sha256"], tree.split_ascii_whitespace().next().unwrap());
    let paths = said["changes"]["paths"].as_array().unwrap();
    let app = paths.iter().find(|path| path["path"] == "/usr/bin/app").unwrap();
    assert_eq!((&app["change"], &app["image"]["mode"]), (&json!("added"), &json!("0755")));
    assert_eq!(app["image"]["sha256"], sha256sum(&world, "app"));

    // The same inputs, another time and folder: the same bytes.
    let again = self::world();
    again.run(BUILD).succeeds();
    let bytes = |world: &World| fs::read(world.path("my.img.manifest.json")).unwrap();
    assert!(bytes(&world) == bytes(&again));
    let run = world.run("verify my.img --base base.img").succeeds();
    assert!(
        run.stdout.ends_with("paths differ\nnot checked: who made my.img.manifest.json (no --signer)\n"),
        "{}",
        run.stdout
    );
}

/// A checkout somewhere else, on another machine, whose paths are typed in full.
#[test]
fn documents_do_not_say_where_a_checkout_is() {
    let documents = |folder: &str| -> Vec<String> {
        let world = world();
        for name in ["app", "tree"] {
            let _ = fs::create_dir_all(world.path(folder));
            fs::rename(world.path(name), world.path(&format!("{folder}/{name}"))).unwrap();
        }
        world.file(
            &format!("{folder}/imgraft.toml"),
            "[inputs.app]\nabout = \"the app\"\n\n[[step]]\nput = \"app\"\nto = \"/usr/bin/app\"\n",
        );
        let here = world.path(folder);
        let here = here.display();
        let base = world.path("base.img");
        world
            .run(&format!(
                "build {here}/imgraft.toml --input app={here}/app --base {} --put {here}/tree:/srv/tree -o my.img \
 --manifest my.img.manifest.json --provenance my.json --predicate p.json",
                base.display()
            ))
            .succeeds();
        let names = ["my.img.manifest.json", "my.json", "p.json"];
        let texts = names.map(|name| fs::read_to_string(world.path(name)).unwrap());
        for text in &texts {
            assert!(!text.contains(world.folder().to_str().unwrap()), "{text}");
        }
        let said: Value = serde_json::from_str(&texts[0]).unwrap();
        let inputs: Vec<&str> =
            said["inputs"].as_array().unwrap().iter().map(|i| i["path"].as_str().unwrap()).collect();
        assert_eq!(inputs, ["app", "tree"]);
        assert_eq!((&said["recipe"]["name"], &said["inputs"][0]["name"]), (&json!("imgraft.toml"), &json!("app")));
        world.run("verify my.img --base base.img").succeeds();
        texts.to_vec()
    };
    assert_eq!(documents("one"), documents("two/three"));
}

#[test]
fn documents_are_there_with_the_image_or_not_at_all() {
    let world = world();
    let names = |world: &World| -> Vec<String> {
        let names =
            fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "app" && name != "tree").collect();
        names.sort();
        names
    };
    for (arguments, said) in [
        ("--manifest my.img", "is the name of two files"),
        ("--manifest m.json --provenance m.json", "is the name of two files"),
        ("--manifest none/m.json", "none"),
        ("--manifest base.img", "is the image that is read"),
        ("--sbom sbom.json", "does not say which kind of SBOM it is"),
        ("--manifest m.json --sbom a.cdx.json --strict --put app:/none/", ""),
    ] {
        let run = world.run(&format!("build --base base.img --put app:/usr/bin/app -o my.img {arguments}"));
        if !said.is_empty() {
            assert_eq!(run.code, Some(2), "{arguments}");
            assert!(run.stderr.contains(said), "{arguments}: {}", run.stderr);
            assert_eq!(names(&world), ["base.img"], "{arguments}");
        }
        for name in names(&world) {
            if name != "base.img" {
                fs::remove_file(world.path(&name)).unwrap();
            }
        }
    }
    // A folder has the image's name: documents that were there are what they were.
    fs::create_dir(world.path("dir.img")).unwrap();
    world.file("m.json", "old");
    let run = world.run("build --base base.img --put app:/usr/bin/app -o dir.img --manifest m.json");
    assert_eq!((run.code, fs::read_to_string(world.path("m.json")).unwrap().as_str()), (Some(2), "old"));
    // A dry run writes none.
    world.run("build --base base.img --put app:/usr/bin/app -o my.img --manifest n.json --dry-run").succeeds();
    assert!(!world.path("n.json").exists());
}

#[test]
fn what_was_changed_after_the_build_is_found() {
    let world = world();
    world.run(BUILD).succeeds();
    for (change, found) in [
        // A byte of a file: the size and the time are as they were.
        ("--put other:/usr/bin/app:0755", "! `/usr/bin/app` in the image has the SHA-256 "),
        ("--write /etc/x:x", "! `/etc/x` is added, which the manifest does not say"),
        ("--chmod 04755:/usr/bin/app", "! `/usr/bin/app` in the image has the mode 4755, and the manifest says 0755"),
        ("--chown 1:1:/usr/bin/app", "! `/usr/bin/app` in the image has the owner 1:1, and the manifest says 0:0"),
        ("--remove /srv/tree/a", "! `/srv/tree/a` is as in the base, and the manifest says that it is added"),
    ] {
        let mut bytes = noise(1, 300_000);
        bytes[12_345] ^= 1;
        world.file("other", bytes).modified("other", 1_600_000_000);
        fs::copy(world.path("my.img"), world.path("new.img")).unwrap();
        world.run(&format!("customize new.img {change}")).succeeds();
        let said = refused(&world, "new.img --base base.img --manifest my.img.manifest.json");
        assert!(said.starts_with("! the image `new.img` has the SHA-256 "), "{change}: {said}");
        assert!(said.contains(found), "{change}: {said}");
        // Who changes the digest in the manifest, too, has not changed enough.
        let mut lie = manifest(&world, "my.img.manifest.json");
        lie["outputs"][0]["sha256"] = json!(sha256sum(&world, "new.img"));
        write(&world, "lie.json", &lie);
        assert!(refused(&world, "new.img --base base.img --manifest lie.json").starts_with(found), "{change}");
    }
    // Bytes in no file, which a mount would not show: the boot loader's partition.
    let raw = "convert my.img raw.img -O raw";
    world.run(raw).succeeds();
    let mut bytes = fs::read(world.path("raw.img")).unwrap();
    bytes[440 - 20] ^= 1;
    fs::write(world.path("raw.img"), bytes).unwrap();
    let said = refused(&world, "raw.img --base base.img --manifest my.img.manifest.json");
    assert!(said.contains("! in the disk outside of partitions, this differs"), "{said}");
}

/// What is made of a manifest that says what is.
type Lie = fn(&mut Value);

#[test]
fn a_manifest_that_lies_or_floods_is_refused() {
    let world = world();
    world.run(BUILD).succeeds();
    let truth = manifest(&world, "my.img.manifest.json");
    let lies: [(&str, Lie); 5] = [
        ("is added, which the manifest does not say", |said| {
            said["changes"]["paths"].as_array_mut().unwrap().clear();
        }),
        ("which the manifest says", |said| said["changes"]["outside"] = json!([{"place": "\u{1b}[2J"}])),
        ("times", |said| {
            let paths = said["changes"]["paths"].as_array_mut().unwrap();
            paths.push(paths[0].clone());
        }),
        ("the base `base.img` has the SHA-256", |said| said["base"]["sha256"] = json!("0".repeat(64))),
        ("the image `my.img` has the SHA-256", |said| said["outputs"][0]["sha256"] = json!("")),
    ];
    for (found, lie) in lies {
        let mut said = truth.clone();
        lie(&mut said);
        write(&world, "lie.json", &said);
        let told = refused(&world, "my.img --base base.img --manifest lie.json");
        assert!(told.contains(found) && !told.contains('\u{1b}'), "{found}: {told}");
    }
    // Not the base that it was made of.
    fs::copy(world.path("my.img"), world.path("other.img")).unwrap();
    assert!(refused(&world, "my.img --base other.img").starts_with("! the base `other.img` has the SHA-256 "));

    let flood = |name: &str, bytes: Vec<u8>, why: &str| {
        fs::write(world.path(name), bytes).unwrap();
        let run = world.run(&format!("verify my.img --base base.img --manifest {name}"));
        assert_eq!(run.code, Some(2), "{name}: {}", run.stdout);
        assert!(run.stderr.contains(why), "{name}: {}", run.stderr);
    };
    flood("empty", Vec::new(), "it is not a manifest of an image");
    flood("deep", [b"{\"manifest_version\":".to_vec(), b"[".repeat(1_000_000)].concat(), "it is not a manifest");
    let mut deep = serde_json::to_string(&truth).unwrap();
    deep = deep.replacen("\"operations\":[", &format!("\"operations\":[{},", "[".repeat(1_000_000)), 1);
    flood("deep-operations", deep.into_bytes(), "it is not a manifest");
    let mut later = truth.clone();
    later["manifest_version"] = json!(2);
    flood("later", serde_json::to_vec(&later).unwrap(), "it has version 2 of the form, and 1 is known");
    let mut more = truth.clone();
    more["extra"] = json!(1);
    flood("more", serde_json::to_vec(&more).unwrap(), "unknown field `extra`");
    let mut two = truth;
    two["outputs"] = json!([two["outputs"][0], two["outputs"][0]]);
    flood("two", serde_json::to_vec(&two).unwrap(), "it is about 2 images");
    // A file that has no end on the disk.
    let endless = fs::File::create(world.path("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    let run = world.run("verify my.img --digest-only --manifest endless");
    assert!(run.code == Some(2) && run.stderr.contains("it is larger than 67108864 bytes"), "{}", run.stderr);
}

#[test]
fn files_of_holes_have_no_manifest() {
    let world = World::with_copy(&Options { format: Format::Raw, ..Options::default() });
    let place =
        format!("{}?offset={}", world.path("my.img").display(), partition_range(&world.path("my.img"), ROOT).start);
    judge("debugfs")
        .args(["-w", "-R", &format!("set_inode_field /etc/hostname size {}", 1u64 << 36), &place])
        .succeed();
    let run = world.run("build --base my.img --chmod 0600:/etc/hostname -o new.img --manifest m.json");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("they consist of holes") && !world.path("new.img").exists(), "{}", run.stderr);
}

/// With the stock base, where there is one: it has some hundred packages.
#[test]
fn the_formats_own_libraries_accept_what_we_say() {
    let (judges, base) = (ci_judges(), std::env::var_os("IMGRAFT_TEST_BASE"));
    assert!(base.is_some() || !cfg!(feature = "full-tests"), "IMGRAFT_TEST_BASE is not set: see scripts/base-image");
    let (Some(judges), Some(base)) = (judges, base) else { return };
    let world = World::empty();
    std::os::unix::fs::symlink(base, world.path("base.img")).unwrap();
    world.file("app", "app\n");
    world
        .run(
            "build --base base.img --put app:/usr/bin/app -o my.img --manifest m.json --sbom a.spdx.json \
             --sbom a.cdx.json --provenance p.json",
        )
        .succeeds();
    for (kind, name, from, to) in [
        ("spdx", "a.spdx.json", "SPDXRef-Image", "SPDXRef-Imag_e"),
        ("cyclonedx", "a.cdx.json", "\"specVersion\": ", "\"specversion\": "),
        ("purls", "a.cdx.json", "pkg:deb/", "pkg:deb//"),
        ("statement", "p.json", "\"buildType\"", "\"buildtype\""),
    ] {
        library(kind, &judges, &world.path(name)).succeed();
        // A judge that accepts everything would be none.
        let text = fs::read_to_string(world.path(name)).unwrap();
        fs::write(world.path("wrong.json"), text.replace(from, to)).unwrap();
        assert!(!library(kind, &judges, &world.path("wrong.json")).run().status.success(), "{kind}");
    }

    // dpkg's own list of the same guest.
    world
        .file("admin/available", "")
        .file("admin/triggers/File", "")
        .file("admin/updates/keep", "")
        .file("admin/info/format", "1\n");
    fs::remove_file(world.path("admin/updates/keep")).unwrap();
    world.run("get my.img /var/lib/dpkg/status admin/status").succeeds();
    let query = ["-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"];
    let listed = judge("dpkg-query").arg("--admindir").arg(world.path("admin")).args(query).succeed().stdout;
    let mut listed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    listed.sort_unstable();
    let sbom = manifest(&world, "a.cdx.json");
    let packages = sbom["components"].as_array().unwrap().iter().filter(|component| component["purl"].is_string());
    let mut ours: Vec<String> = packages
        .map(|package| format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap()))
        .collect();
    ours.sort_unstable();
    assert!(ours.len() > 100 && ours == listed, "{ours:?} {listed:?}");
}

#[test]
fn the_packages_of_alpine_are_in_an_sbom() {
    let world = World::new();
    // As apk writes it: a package is a paragraph, and its files follow what it is.
    let database = "P:musl\nV:1.2.4-r2\nA:x86_64\nS:388955\nI:622592\n\
                    T:the musl c library (libc) implementation\nU:https://musl.libc.org/\nL:MIT\no:musl\n\
                    p:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\n\
                    P:g++\nV:13.2.1_git20231014-r0\nA:x86_64\n\n";
    world
        .file("installed", database)
        .file("os-release", "ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n");
    world
        .run(
            "build --base base.img --remove /var/lib/dpkg/status --put installed:/lib/apk/db/installed --remove /etc/os-release \
             --put os-release:/etc/os-release -o my.img --sbom a.cdx.json --sbom a.spdx.json",
        )
        .succeeds();
    let sbom = manifest(&world, "a.cdx.json");
    let components = sbom["components"].as_array().unwrap().iter();
    let purls: Vec<&str> = components.filter_map(|component| component["purl"].as_str()).collect();
    let wanted = [
        "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1",
        "pkg:apk/alpine/g%2B%2B@13.2.1_git20231014-r0?arch=x86_64&distro=alpine-3.19.1",
    ];
    assert_eq!(purls, wanted);
    if let Some(judges) = ci_judges() {
        library("purls", &judges, &world.path("a.cdx.json")).succeed();
        library("spdx", &judges, &world.path("a.spdx.json")).succeed();
    }
    let seen: Value = serde_json::from_str(&world.run("inspect my.img --json").succeeds().stdout).unwrap();
    assert_eq!(seen["package_manager"], "apk");
}

/// pacman itself installs packages, and prints their list.
#[test]
fn the_packages_of_pacman_are_those_that_pacman_lists() {
    let world = World::new();
    let script = "for package in hello:1-1:any tool:2:1.2.3-4:x86_64; do
                      name=${package%%:*} rest=${package#*:}; version=${rest%:*}
                      mkdir -p $name/opt; echo $name >$name/opt/$name
                      printf 'pkgname = %s\npkgver = %s\npkgdesc = %%NAME%%\narch = %s\nsize = 1\n' \
                          $name $version ${rest##*:} >$name/.PKGINFO
                      tar -C $name -czf $name.pkg.tar.gz .PKGINFO opt
                  done
                  printf '[options]\nArchitecture = x86_64\nSigLevel = Never\n' >pacman.conf
                  mkdir root db cache
                  pacman='pacman --config pacman.conf --root root --dbpath db --cachedir cache --gpgdir . --hookdir . --logfile log'
                  $pacman -U --noconfirm --noprogressbar --dbonly hello.pkg.tar.gz tool.pkg.tar.gz >&2
                  $pacman -Q | LC_ALL=C sort";
    let listed = judge("bash").args(["-ec", script]).current_dir(world.folder()).succeed().stdout;
    assert_eq!(listed, "hello 1-1\ntool 2:1.2.3-4\n");
    world.file("os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n");
    world
        .run(
            "build --base base.img --remove /var/lib/dpkg/status --mkdir /var/lib/pacman --put db/local:/var/lib/pacman/local \
             --remove /etc/os-release --put os-release:/etc/os-release -o my.img --sbom a.cdx.json",
        )
        .succeeds();
    let seen: Value = serde_json::from_str(&world.run("inspect my.img --json").succeeds().stdout).unwrap();
    assert_eq!(seen["package_manager"], "pacman");
    let text = |package: &Value| ["name", "version"].map(|key| package[key].as_str().unwrap().to_owned()).join(" ");
    let ours: Vec<String> = seen["packages"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(ours, listed.lines().collect::<Vec<_>>());
    let sbom = manifest(&world, "a.cdx.json");
    let purls: Vec<&str> =
        sbom["components"].as_array().unwrap().iter().filter_map(|component| component["purl"].as_str()).collect();
    assert!(purls.contains(&"pkg:alpm/arch/tool@2:1.2.3-4?arch=x86_64"), "{purls:?}");
    if let Some(judges) = ci_judges() {
        library("purls", &judges, &world.path("a.cdx.json")).succeed();
    }
}

/// rpm itself builds packages, and keeps and prints their list.
#[test]
fn the_packages_of_rpm_are_those_that_rpm_lists() {
    let world = World::new();
    let mut spec = "Name: Big-Tool\nVersion: 1.2~rc1\nRelease: 3.el10\nEpoch: 2\nSummary: x\nLicense: MIT\n%description\nx\n\
                    %install\nmkdir -p %{buildroot}/opt/many\n\
                    for i in $(seq 1 300); do : >%{buildroot}/opt/many/a-file-with-a-name-that-is-rather-long-$i; done\n\
                    %files\n/opt/many\n"
        .to_owned();
    for number in 0..60 {
        spec += &format!(
            "%package -n part{number}\nSummary: {0}\n%description -n part{number}\n{0}\n%files -n part{number}\n",
            "words ".repeat(100)
        );
    }
    world.file("a.spec", spec);
    let script = "rpmbuild -bb --quiet --define \"_topdir $PWD/top\" --define \"_rpmdir $PWD/rpms\" a.spec >&2
                  rpm --dbpath $PWD/db --define '_db_backend sqlite' --initdb
                  rpm --dbpath $PWD/db -i --justdb --nodeps --noscripts rpms/*/*.rpm >&2
                  rpm --dbpath $PWD/db -qa --qf '%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE} %{ARCH}\\n' | LC_ALL=C sort";
    let listed = judge("sh").args(["-ec", script]).current_dir(world.folder()).succeed().stdout;
    assert!(listed.starts_with("Big-Tool 2:1.2~rc1-3.el10 ") && listed.lines().count() == 61, "{listed}");
    world.file("os-release", "ID=almalinux\nVERSION_ID=10.1\nPRETTY_NAME=\"AlmaLinux 10.1\"\n");
    world
        .run(
            "build --base base.img --remove /var/lib/dpkg/status --put db/rpmdb.sqlite:/usr/lib/sysimage/rpm/rpmdb.sqlite \
             --remove /etc/os-release --put os-release:/etc/os-release -o my.img --sbom a.cdx.json --sbom a.spdx.json",
        )
        .succeeds();
    let seen: Value = serde_json::from_str(&world.run("inspect my.img --json").succeeds().stdout).unwrap();
    assert_eq!(seen["package_manager"], "rpm");
    let text = |package: &Value| {
        ["name", "version", "architecture"].map(|key| package[key].as_str().unwrap().to_owned()).join(" ")
    };
    let mut ours: Vec<String> = seen["packages"].as_array().unwrap().iter().map(text).collect();
    ours.sort_unstable();
    assert_eq!(ours, listed.lines().collect::<Vec<_>>());
    let sbom = manifest(&world, "a.cdx.json");
    let purls: Vec<&str> =
        sbom["components"].as_array().unwrap().iter().filter_map(|component| component["purl"].as_str()).collect();
    let tool = purls.iter().find(|purl| purl.contains("Big-Tool")).unwrap();
    assert!(tool.starts_with("pkg:rpm/almalinux/Big-Tool@1.2~rc1-3.el10?arch="), "{tool}");
    assert!(tool.ends_with("&distro=almalinux-10.1&epoch=2") && purls.len() == 61, "{tool}");
    if let Some(judges) = ci_judges() {
        library("purls", &judges, &world.path("a.cdx.json")).succeed();
        library("spdx", &judges, &world.path("a.spdx.json")).succeed();
    }
    // What was not written to the database yet is in its log.
    world.file("log", "x");
    let put = "--put log:/usr/lib/sysimage/rpm/rpmdb.sqlite-wal";
    world.run(&format!("build --base my.img {put} -o log.img")).succeeds();
    assert!(world.run("inspect log.img").succeeds().stderr.contains("rpm's, whose list imgraft cannot read yet"));
    let database = std::fs::read(world.path("db/rpmdb.sqlite")).unwrap();
    world.file("half", &database[..database.len() / 2]);
    world.run("build --base my.img --put half:/usr/lib/sysimage/rpm/rpmdb.sqlite -o half.img").succeeds();
    let run = world.run("build --base half.img --chmod 0600:/etc/os-release -o x.img --sbom x.cdx.json");
    let why = "the database `/usr/lib/sysimage/rpm/rpmdb.sqlite` is damaged: a page is past the end of the file";
    assert!(run.code == Some(2) && run.stderr.contains(why) && !world.path("x.img").exists(), "{}", run.stderr);
}
