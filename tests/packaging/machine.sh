#!/bin/sh
# A machine: the files of this system beneath an overlay, with a systemd of its own.
#   machine.sh FOLDER
# FOLDER keeps what the machine has written. To be the first process of PID, mount, IPC,
# UTS, cgroup and network namespaces of its own.
set -eu

folder=$1
fresh=
if [ ! -d "$folder/upper" ]; then
    mkdir -p "$folder/upper" "$folder/work" "$folder/root"
    fresh=yes
fi
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay \
    "$folder/root"
cd "$folder/root"

if [ "$fresh" ]; then
    # Nothing of what this system runs, and nothing that sets up hardware and kernel.
    rm -rf etc/systemd/system/*.wants etc/rc?.d
    # Images for containers forbid packages to start services; a machine lets them.
    rm -f usr/sbin/policy-rc.d
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-sysctl.service \
        systemd-modules-load.service systemd-remount-fs.service systemd-logind.service \
        dev-hugepages.mount dev-mqueue.mount getty.target sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
        ln -sf /dev/null "etc/systemd/system/$unit"
    done
fi

mount -t proc proc proc
# What is the kernel's is not the machine's to set, save its own network.
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
# As udev makes it: for everybody.
mknod -m 666 dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp

# Where it stands before, so that the old root is gone and no way leads back.
mount --rbind . .
cd .
pivot_root . mnt
umount -l mnt
# As systemd makes it itself where it boots a real machine: a unit's credentials are
# mounted by a helper, and seen by its service through this alone.
mount --make-rshared /
exec setpriv --bounding-set -sys_module,-sys_time,-syslog,-sys_rawio \
    env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
