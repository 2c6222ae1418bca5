package postgres

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// CopyTree copies a folder with its files, folders and symbolic links to a
// place where nothing is yet, and gives the copy to a user (to the present one
// when nil). Nobody else may read the copy.
func CopyTree(from, to string, user *syscall.Credential) error {
	var group errgroup.Group
	group.SetLimit(4)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			return own(target, user)
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case d.Type().IsRegular():
			group.Go(func() error { return copyFile(path, target, user) })
		}
		return nil
	})
	if waitErr := group.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// CopyFile copies one file, with its right to be executed, to a place where
// nothing is yet.
func CopyFile(from, to string) error {
	if err := copyFile(from, to, nil); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

func copyFile(from, to string, user *syscall.Credential) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|info.Mode().Perm()&0o100)
	if err != nil {
		return err
	}
	if _, err := out.ReadFrom(in); err != nil {
		_ = out.Close()
		return err
	}
	if user != nil {
		if err := out.Chown(int(user.Uid), int(user.Gid)); err != nil {
			_ = out.Close()
			return err
		}
	}
	return out.Close()
}
